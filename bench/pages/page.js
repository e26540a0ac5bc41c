"use strict";
// The page is whole without this file, apart from its charts. Rows come from the JSON beside it; Vega draws.
(() => {
  const sections = JSON.parse(document.getElementById("data").textContent);
  const own = (element, selector) => [...element.querySelectorAll(selector)];
  const options = {
    ast: true, // expressions are interpreted: the page's policy forbids eval
    renderer: "svg", // takes colours from CSS variables, prints sharp
    actions: false,
    defaultStyle: false,
    tooltip: { disableDefaultStyle: true },
  };

  // --- tables -------------------------------------------------------------------------------------------------

  function sort(header) {
    const table = header.closest("table"), isText = header.dataset.kind === "text";
    const key = ({ dataset: { v } }) => (isText ? v ?? "" : Number(v));
    const first = header.dataset.better === "higher" ? "descending" : "ascending";
    const now = header.getAttribute("aria-sort");
    const direction = now ? (now === "ascending" ? "descending" : "ascending") : first;
    own(table, "th[aria-sort]").forEach((other) => other.removeAttribute("aria-sort"));
    header.setAttribute("aria-sort", direction);
    const sign = direction === "ascending" ? 1 : -1;
    const rows = [...table.tBodies[0].rows].map((row) => [key(row.cells[header.cellIndex]), row]);
    rows.sort(([a], [b]) => {
      if (isText) return sign * a.localeCompare(b, "en", { numeric: true });
      if (isNaN(a) || isNaN(b)) return isNaN(a) - isNaN(b); // missing values are last, whichever the direction
      return sign * (a - b);
    });
    table.tBodies[0].append(...rows.map(([, row]) => row));
  }

  own(document, "table.sortable thead button").forEach((button) =>
    button.addEventListener("click", () => sort(button.closest("th"))));

  // --- charts -------------------------------------------------------------------------------------------------

  /** Draw `spec` with these datasets and parameters into `place`, `height` px high, or update what is there. */
  async function draw(place, spec, datasets, params, height) {
    if (!place.view) {
      const known = new Set(Object.keys(params));
      const filled = { ...spec, datasets, height };
      filled.params = (spec.params ?? []).map((p) => (known.has(p.name) ? { ...p, value: params[p.name] } : p));
      place.view = vegaEmbed(place, filled, options).then((result) => result.view);
      return place.view;
    }
    const view = await place.view;
    for (const [name, rows] of Object.entries(datasets)) view.data(name, rows);
    for (const [name, value] of Object.entries(params)) view.signal(name, value);
    return view.height(height).resize().runAsync();
  }

  const chosen = (root, control) => {
    const inputs = own(root, `[data-control="${control}"]`);
    return (inputs.find((input) => input.checked) ?? inputs[0])?.value;
  };
  const on = (root, control, act) =>
    own(root, `[data-control="${control}"]`).forEach((input) => input.addEventListener("change", act));
  const short = (value) => (value === null ? "–" : Number(value.toPrecision(5)).toString().replace("-", "−"));

  const isNarrow = (place) => place.clientWidth < 480;
  const twoLines = (method) => (method.label === method.name ? method.name : `${method.name}\n${method.posterior}`);

  /** The points of a metric against a cost, hidden methods left out. */
  function pointsOf(section, metric, cost, hidden) {
    const columns = section.curves.points[metric];
    if (!columns) return [];
    return columns.m.map((m, i) => ({
      m: String(m), label: section.methods[m].label, step: columns.step[i],
      x: columns[cost][i], y: columns.y[i], lo: columns.lo[i], hi: columns.hi[i], n: columns.n[i],
    })).filter((row) => row.x !== null && !hidden.has(section.methods[row.m].name));
  }

  const withTip = (row) => ({ ...row, tip: {
    method: row.label, at: short(row.x), mean: short(row.y), "lowest seed": short(row.lo), "highest seed": short(row.hi),
    seeds: row.n,
  } });

  /** Without the untrained networks of step 0, if they would squeeze the curves into a quarter of the chart. */
  function onScale(points) {
    const trained = points.filter((row) => row.step > 0);
    if (new Set(trained.map((row) => row.step)).size < 2) return points;
    const low = Math.min(...trained.map((row) => row.lo)), high = Math.max(...trained.map((row) => row.hi));
    const outside = points.some((row) => low - row.lo > 3 * (high - low) || row.hi - high > 3 * (high - low));
    return outside ? trained : points;
  }

  function learningCurves(root, section) {
    const places = own(root, '[data-chart="curves"]');
    if (!places.length) return;
    const hidden = new Set();
    /** Fade all but the method that `of` gives for a panel; none if that is null. */
    const highlight = (of) => Promise.all(places.map(async (place) => {
      if (place.view) (await place.view).signal("highlight", of(place)).runAsync();
    }));

    async function update() {
      const metric = chosen(root, "curve-metric"), cost = chosen(root, "axis");
      const points = onScale(pointsOf(section, metric, cost, hidden));
      const lost = (section.curves.lost[metric] ?? []).filter((line) => !hidden.has(section.methods[line.m].name));
      const lines = lost.flatMap((line, run) => line.y.map((y, i) => ({
        m: String(line.m), run, label: `${section.methods[line.m].label}, seed ${line.seed}`, x: line[cost][i], y,
        last: i === line.y.length - 1,
      })).filter((row) => row.x !== null));
      const level = section.curves.level[metric];
      let low = Math.min(...points.map((row) => row.lo)), high = Math.max(...points.map((row) => row.hi));
      // the mean image's score is shown where it does not squeeze the curves
      const levels = level !== undefined && low - level < high - low && level - high < high - low ? [level] : [];
      [low, high] = [Math.min(low, ...levels), Math.max(high, ...levels)];
      if (!points.length) [low, high] = [Math.min(0, ...lines.map((row) => row.y)), Math.max(1, ...lines.map((row) => row.y))];
      const xs = [...points, ...lines].map((row) => row.x);
      const end = Math.max(...xs, 1e-9), left = -0.012 * end, right = 1.012 * end; // room for the outermost markers
      const margin = 0.04 * (high - low || Math.abs(high) || 1);
      for (const place of places) {
        const here = (row) => section.methods[row.m].posterior === place.dataset.posterior;
        const mine = lines.filter(here);
        const figure = place.closest("figure");
        figure.querySelector("[data-y]").textContent = section.headings[metric];
        figure.querySelector("[data-x]").textContent = section.costs[cost];
        await draw(place, section.specs.curves, {
          points: points.filter(here).map(withTip), lost: mine, crosses: mine.filter((row) => row.last), level: levels.map((y) => ({ y })),
        }, { left, right, low: low - margin, high: high + margin }, 280);
      }
      const details = root.querySelector('[data-table="curves"]');
      if (details.open) tabulate(details, section, metric, cost, pointsOf(section, metric, cost, hidden));
    }

    on(root, "curve-metric", update);
    on(root, "axis", update);
    root.querySelector('[data-table="curves"]').addEventListener("toggle", update);
    own(root, ".chips button").forEach((chip) => {
      const name = chip.dataset.method;
      const over = () => highlight((place) => hidden.has(name) ? null : String(section.methods.findIndex(
        (method) => method.name === name && method.posterior === place.dataset.posterior)));
      chip.addEventListener("click", () => {
        const show = chip.getAttribute("aria-pressed") === "false";
        chip.setAttribute("aria-pressed", String(show));
        if (show) hidden.delete(name); else hidden.add(name);
        highlight(() => null).then(update);
      });
      for (const event of ["pointerenter", "focus"]) chip.addEventListener(event, over);
      for (const event of ["pointerleave", "blur"]) chip.addEventListener(event, () => highlight(() => null));
    });
    return update().then(async () => {
      for (const place of places) {
        const view = await place.view;
        view.addSignalListener("hover", (_, value) => view.signal("highlight", value.m?.[0] ?? null).runAsync());
      }
    });
  }

  /** Methods as rows, evaluations as columns. */
  function tabulate(details, section, metric, cost, points) {
    const table = document.createElement("table"), byMethod = new Map();
    for (const row of points) {
      if (!byMethod.has(row.m)) byMethod.set(row.m, []);
      byMethod.get(row.m).push(row);
    }
    const caption = table.createCaption();
    caption.textContent = `${section.headings[metric]}: mean over seeds at ${section.costs[cost]}`;
    for (const [m, rows] of byMethod) {
      const line = table.insertRow(), head = document.createElement("th");
      head.scope = "row";
      head.textContent = section.methods[m].label;
      line.append(head);
      for (const row of rows) {
        const cell = line.insertCell(), at = document.createElement("small");
        cell.className = "num";
        at.textContent = `at ${short(row.x)}`;
        cell.append(short(row.y), at);
      }
    }
    details.querySelector(".scroll").replaceChildren(table);
  }

  function finalValues(root, section) {
    const place = root.querySelector('[data-chart="finals"]');
    if (!place) return;
    const update = () => {
      const metric = chosen(root, "final-metric"), { means, seeds } = section.finals[metric], narrow = isNarrow(place);
      place.closest("figure").querySelector("[data-x]").textContent = section.headings[metric];
      const labels = means.map((mean) => (narrow ? twoLines(section.methods[mean.m]).split("\n") : mean.name));
      return draw(place, section.specs.finals, { means, seeds }, { labels }, (narrow ? 34 : 24) * means.length);
    };
    on(root, "final-metric", update);
    return update();
  }

  function usage(root, section) {
    const place = root.querySelector('[data-chart="usage"]');
    if (!place) return;
    const book = section.codebook;
    const update = () => {
      const measure = chosen(root, "measure");
      const cells = book.methods.flatMap((m) => (book.values[measure][m] ?? []).map((value, column) => {
        const first = column * book.per_column, last = Math.min(first + book.per_column, book.positions) - 1;
        return { row: twoLines(section.methods[m]), name: section.methods[m].label, column: first, value, position: first === last ? `${first}` : `${first} to ${last}` };
      }));
      const values = cells.map((cell) => cell.value).filter((value) => value !== null);
      root.querySelector("[data-caption]").textContent = measure === "usage"
        ? "Fraction of the vocabulary used at least once, per latent position."
        : `Perplexity of the codes per latent position${book.vocab ? `; ${book.vocab} would be all codes equally often` : ""}.`;
      return draw(place, section.specs.usage, { cells }, { top: measure === "usage" ? 1 : book.vocab ?? Math.max(1, ...values), narrow: isNarrow(place) },
        (isNarrow(place) ? 28 : 18) * new Set(cells.map((cell) => cell.row)).size);
    };
    on(root, "measure", update);
    return update();
  }

  // --- reconstructions ----------------------------------------------------------------------------------------

  function gallery(wall) {
    const update = () => {
      const pick = Number(chosen(wall, "pick"));
      wall.style.setProperty("--pick", pick);
      own(wall, ".card").forEach((card) => {
        card.querySelector("[data-score]").textContent = Number(card.dataset.psnr.split(" ")[pick]).toFixed(1);
      });
    };
    on(wall, "pick", update);
    update(); // a reloaded page may remember another choice
  }

  // --- paper --------------------------------------------------------------------------------------------------

  let opened = [];
  addEventListener("beforeprint", () => {
    opened = own(document, "details:not([open]):not(.numbers)");
    opened.forEach((details) => (details.open = true));
  });
  addEventListener("afterprint", () => opened.forEach((details) => (details.open = false)));

  const ready = own(document, "article[data-section]").map(async (root) => {
    const section = sections[Number(root.dataset.section)];
    own(root, ".gallery").forEach(gallery);
    await finalValues(root, section);
    await learningCurves(root, section);
    await usage(root, section);
  });
  Promise.all(ready).then(() => (document.documentElement.dataset.ready = "yes"));
})();
