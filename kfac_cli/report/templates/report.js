"use strict";
(() => {
  const grey = "#59626c";
  const settings = { displaylogo: false, responsive: true, modeBarButtonsToRemove: ["lasso2d", "select2d"] };

  // Labels at 1, 2 and 5 over a few decades, at powers of ten over many.
  const ticks = (values) => {
    const positive = values.filter((value) => value > 0);
    const largest = positive.reduce((a, b) => Math.max(a, b), 0);
    const decades = Math.log10(largest / positive.reduce((a, b) => Math.min(a, b), Infinity));
    if (decades > 2.2) return { minorloglabels: "none" };
    return decades > 0.8 ? { dtick: "D2", minorloglabels: "complete" } : {};
  };

  const axis = (title, log, values = []) => ({
    title: { text: title, font: { size: 12, color: grey }, standoff: 6 },
    type: log ? "log" : "linear",
    automargin: true,
    gridcolor: "#e6e9ed",
    linecolor: "#9aa4af",
    tickfont: { size: 11, color: grey },
    zeroline: false,
    exponentformat: log ? "e" : "none",
    separatethousands: true,
    hoverformat: ".4~g",
    ...(log ? ticks(values) : { nticks: 6 }),
  });

  const layout = (panel, traces, name, logX, logY) => ({
    margin: { l: 44, r: 8, t: 8, b: 40 },
    showlegend: false,
    barmode: "stack",
    bargap: 0.35,
    hovermode: "closest",
    hoverlabel: { namelength: -1 },
    font: { family: "system-ui, sans-serif", color: "#1f2328" },
    paper_bgcolor: "#fff",
    plot_bgcolor: "#fff",
    xaxis: axis(panel.x_label || name, logX, traces.flatMap((trace) => trace.x)),
    yaxis: panel.bars.length
      ? {
          automargin: true,
          autorange: "reversed",
          tickvals: panel.bars.map((_, place) => place),
          ticktext: panel.bars,
          tickfont: { size: 11, color: grey },
        }
      : {
          ...axis("", logY && panel.y_log, traces.flatMap((trace) => trace.y)),
          ...(panel.y_range ? { range: panel.y_range } : {}),
        },
  });

  // So that a drawing fits onto paper, which is laid out without the script.
  const scalable = (place) => place.querySelectorAll(".main-svg").forEach((drawing) =>
    drawing.setAttribute("viewBox", `0 0 ${place.clientWidth} ${place.clientHeight}`));

  const setUp = (figure) => {
    const root = [...document.querySelectorAll("[data-figure]")].find((e) => e.dataset.figure === figure.name);
    const chosen = () => root.querySelector("input[type=radio]:checked")?.value;
    const log = (which, standard) => root.querySelector(`[data-log=${which}]`)?.checked ?? standard;
    const hidden = () =>
      new Set([...root.querySelectorAll("[data-group]:not(:checked)")].map((box) => box.dataset.group));

    const draw = () => {
      const without = hidden();
      root.querySelectorAll(".plot").forEach((place) => {
        const panel = figure.panels[Number(place.dataset.panel)];
        const name = chosen() ?? Object.keys(panel.traces)[0];
        const traces = (panel.traces[name] ?? []).filter((trace) => !without.has(trace.group));
        if (panel.bars.length) place.style.height = `${90 + 34 * panel.bars.length}px`;
        Plotly.react(place, traces.map(({ group, ...trace }) => ({ ...trace, line: { width: 2, ...trace.line } })),
          layout(panel, traces, name, log("x", panel.x_log), log("y", true)), settings).then(scalable);
      });
    };
    root.addEventListener("change", draw);
    draw();
    root.querySelectorAll(".plot").forEach((place) => place.on("plotly_afterplot", () => scalable(place)));
  };

  JSON.parse(document.getElementById("figures").textContent).forEach((figure) => {
    try { setUp(figure); } catch (error) { console.error(error); }
  });

  const value = (row, column) => row.cells[column].dataset.value;

  const compare = (a, b) => {
    const [x, y] = [Number(a), Number(b)];
    if (a === "" || b === "") return (a === "") - (b === "");
    if (Number.isNaN(x) || Number.isNaN(y)) return a.localeCompare(b, "en", { numeric: true });
    return x === y ? 0 : x - y;
  };

  document.querySelectorAll("table").forEach((table) => {
    const place = table.closest(".table");
    const body = table.tBodies[0];
    const input = place.querySelector("[data-filter]");
    const more = place.querySelector("[data-more]");
    let all = !more;

    // Show the rows that have every word of the filter, and of many only the first.
    const show = () => {
      const words = (input?.value ?? "").toLowerCase().split(/\s+/).filter(Boolean);
      const fits = (row) => words.every((word) => row.textContent.toLowerCase().includes(word));
      const fitting = [...body.rows].filter(fits);
      const shown = new Set(all || words.length ? fitting : fitting.slice(0, Number(table.dataset.limit)));
      [...body.rows].forEach((row) => { row.hidden = !shown.has(row); });
      if (input) {
        place.querySelector("[data-count]").textContent =
          words.length ? `${fitting.length} of ${body.rows.length}` : "";
      }
      if (more) more.hidden = all;
    };

    table.querySelectorAll("th button").forEach((button) => button.addEventListener("click", () => {
      const head = button.closest("th");
      const falling = head.getAttribute("aria-sort") === "ascending";
      table.querySelectorAll("th").forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", falling ? "descending" : "ascending");
      const column = Number(button.dataset.column);
      const order = (a, b) => (falling ? -1 : 1) * compare(value(a, column), value(b, column));
      body.append(...[...body.rows].sort(order));
      show();
    }));
    input?.addEventListener("input", show);
    more?.addEventListener("click", () => { all = true; show(); });
    show();
  });
})();
