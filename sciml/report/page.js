"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const root = document.documentElement;
  // Okabe and Ito's colours, which colour-blind readers can tell apart.
  const colours = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6bb1", "#7f7f7f"];

  // ---- theme: the system's choice until the reader makes one
  const button = document.getElementById("theme");
  const setTheme = (dark) => {
    root.dataset.theme = dark ? "dark" : "light";
    button.setAttribute("aria-pressed", String(dark));
    button.textContent = dark ? "Light" : "Dark";
    drawn.forEach((element) => Plotly.relayout(element, theme()));
  };
  const drawn = new Set();
  button.addEventListener("click", () => setTheme(root.dataset.theme !== "dark"));

  // ---- sorting: numbers as numbers, empty cells last, floors and ceilings with the rest
  const key = (row, column) => row.children[column].dataset.sort ?? row.children[column].textContent;
  const compare = (a, b, sign) => {
    if (a === "" || b === "") return (a === "") - (b === "");
    const [x, y] = [Number(a), Number(b)];
    return sign * (Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b) : x - y);
  };
  document.querySelectorAll("table.sortable").forEach((table) => {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
      const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      const body = table.tBodies[0];
      const rows = [...body.rows].map((row) => [key(row, column), row]);
      rows.sort((a, b) => compare(a[0], b[0], sign)).forEach(([, row]) => body.append(row));
    }));
  });

  // ---- filters of the runs
  const search = document.getElementById("search");
  if (search) {
    const rows = [...document.querySelectorAll("#runs-table tbody tr")];
    const texts = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
    const [family, state] = [document.getElementById("family"), document.getElementById("state")];
    const filter = () => {
      const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      rows.forEach((row) => {
        const visible = words.every((word) => texts.get(row).includes(word))
          && (!family.value || row.dataset.family === family.value)
          && (!state.value || row.dataset.state === state.value);
        row.hidden = !visible;
        document.getElementById(row.dataset.run).hidden = !visible;
        shown += visible;
      });
      document.getElementById("count").textContent = `${shown} of ${rows.length}`;
    };
    [search, family, state].forEach((input) => input.addEventListener("input", filter));
    search.form.addEventListener("submit", (event) => event.preventDefault());
    filter();
  }

  // ---- a link to a run opens it
  const open = () => {
    const target = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
    if (target && target.tagName === "DETAILS") target.open = true;
  };
  addEventListener("hashchange", open);

  // ---- charts, each drawn when it comes into view; the library is read with the first of them
  const library = () => {
    if (window.Plotly) return;
    const script = document.createElement("script");
    script.textContent = document.getElementById("library").textContent;
    document.head.append(script);
  };
  const theme = () => {
    const style = getComputedStyle(root);
    const [text, line] = [style.getPropertyValue("--text"), style.getPropertyValue("--line")];
    return {
      "paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)", "font.color": text,
      "xaxis.gridcolor": line, "yaxis.gridcolor": line, "xaxis.linecolor": text, "yaxis.linecolor": text,
      "modebar.color": line, "modebar.activecolor": text,
    };
  };
  const plot = (element, traces, x, y, logX) => {
    const layout = {
      margin: { l: 70, r: 10, t: 10, b: 50 }, font: { family: "system-ui, sans-serif" }, hovermode: "closest",
      xaxis: { title: { text: x }, type: logX ? "log" : "linear", showline: true, zeroline: false },
      yaxis: { title: { text: y }, type: "log", showline: true, exponentformat: "power" },
      legend: { orientation: "h", y: -0.25 }, modebar: { bgcolor: "rgba(0,0,0,0)" },
    };
    Plotly.react(element, traces, layout, { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d"] });
    Plotly.relayout(element, theme());
    drawn.add(element);
  };
  const drawCost = (element) => {
    const chart = data.costs[Number(element.dataset.cost)];
    const axis = document.querySelector(`select[data-chart="${element.dataset.cost}"]`).value;
    const methods = [...new Set(chart.points.map((point) => point.method))];
    const traces = methods.map((method, i) => {
      const points = chart.points.filter((point) => point.method === method && axis in point.cost && point.value > 0);
      return {
        name: method, type: "scatter", mode: "markers", x: points.map((point) => point.cost[axis]),
        y: points.map((point) => point.value), text: points.map((point) => `seed ${point.seed}`),
        marker: { size: 9, color: colours[i % colours.length], symbol: i % 8 },
      };
    });
    plot(element, traces.filter((trace) => trace.x.length), axis, chart.metric, true);
  };
  const drawCurves = (element) => {
    const curves = data.curves[element.dataset.curves];
    const traces = Object.entries(curves).map(([name, [steps, values]], i) => ({
      name, type: "scatter", mode: "lines", x: steps, y: values,
      line: { color: colours[i % colours.length], dash: name.startsWith("val/") ? "dot" : "solid", width: 2 },
    }));
    plot(element, traces, "optimiser step", "logged value", false);
  };
  const draw = (element) => {
    library();
    if ("cost" in element.dataset) drawCost(element); else drawCurves(element);
  };
  const seen = new IntersectionObserver((entries) => entries.forEach((entry) => {
    if (entry.isIntersecting && !drawn.has(entry.target)) draw(entry.target);
  }), { rootMargin: "100px" });
  document.querySelectorAll(".chart").forEach((element) => seen.observe(element));
  document.querySelectorAll("select.axis").forEach((select) => select.addEventListener("input", () =>
    draw(document.querySelector(`.chart[data-cost="${select.dataset.chart}"]`))));

  setTheme(matchMedia("(prefers-color-scheme: dark)").matches);
  open();
})();
