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

  // ---- filters of the tables
  const words = (input) => input.value.toLowerCase().split(/\s+/).filter(Boolean);
  const searchTables = document.getElementById("search-tables");
  if (searchTables) {
    const rows = [...document.querySelectorAll("#tables-table tbody tr")].map((row) => {
      const section = document.getElementById(row.dataset.section);
      return { row, section, text: (row.textContent + section.textContent).toLowerCase() };
    });
    const filter = () => {
      const wanted = words(searchTables);
      rows.forEach(({ row, section, text }) => { row.hidden = section.hidden = !wanted.every((word) => text.includes(word)); });
      document.getElementById("count-tables").textContent = `${rows.filter(({ row }) => !row.hidden).length} of ${rows.length}`;
    };
    searchTables.addEventListener("input", filter);
    searchTables.form.addEventListener("submit", (event) => event.preventDefault());
    filter();
  }

  // ---- filters of the runs
  const search = document.getElementById("search");
  if (search) {
    const rows = [...document.querySelectorAll("#runs-table tbody tr")];
    const texts = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
    const [family, state] = [document.getElementById("family"), document.getElementById("state")];
    const filter = () => {
      const wanted = words(search);
      let shown = 0;
      rows.forEach((row) => {
        const visible = wanted.every((word) => texts.get(row).includes(word))
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
  // A logarithmic axis where values span a power of ten; negative ones have no place on it.
  const spans = (values) => {
    const positive = values.filter((value) => value > 0);
    return positive.length > 0 && values.every((value) => value >= 0) && Math.max(...positive) > 10 * Math.min(...positive);
  };
  const narrow = () => innerWidth <= 640;
  // A long name is broken where the screen is narrow; what the legend takes is added to the chart's height.
  const folded = (name) => (narrow() ? name.replace(/(.{1,36})(?:\s+|$)/g, "$1<br>").replace(/<br>$/, "") : name);
  const plot = (element, traces, x, y, logX, logY) => {
    traces.forEach((trace) => { trace.name = folded(trace.name); });
    const lines = narrow() ? traces.reduce((sum, trace) => sum + trace.name.split("<br>").length, 0)
      : Math.ceil(traces.reduce((sum, trace) => sum + trace.name.length + 8, 0) / 110);
    element.style.height = `${20 + 1.3 * lines}rem`;
    const layout = {
      margin: { l: 70, r: 10, t: 25, b: 50 }, font: { family: "system-ui, sans-serif" }, hovermode: "closest",
      xaxis: { title: { text: x }, type: logX ? "log" : "linear", showline: true, zeroline: false },
      yaxis: { title: { text: y }, type: logY ? "log" : "linear", showline: true, zeroline: false, exponentformat: "power" },
      legend: { orientation: "h", y: 1.02, yanchor: "bottom" }, modebar: { bgcolor: "rgba(0,0,0,0)" },
    };
    Plotly.react(element, traces, layout, {
      responsive: true, displaylogo: false, displayModeBar: narrow() ? false : "hover",
      modeBarButtonsToRemove: ["select2d", "lasso2d"],
    });
    Plotly.relayout(element, theme());
    drawn.add(element);
  };
  const drawCost = (element) => {
    const chart = data.costs[Number(element.dataset.cost)];
    const axis = document.querySelector(`select[data-chart="${element.dataset.cost}"]`).value;
    const methods = [...new Set(chart.points.map((point) => point.method))];
    const logX = spans(chart.points.filter((point) => axis in point.cost).map((point) => point.cost[axis]));
    const logY = chart.better === "lower" && spans(chart.points.map((point) => point.value));
    const fits = (point) => axis in point.cost && (!logX || point.cost[axis] > 0) && (!logY || point.value > 0);
    const traces = methods.map((method, i) => {
      const points = chart.points.filter((point) => point.method === method && fits(point));
      return {
        name: method, type: "scatter", mode: "markers", x: points.map((point) => point.cost[axis]),
        y: points.map((point) => point.value), text: points.map((point) => `seed ${point.seed}`),
        marker: { size: 9, color: colours[i % colours.length], symbol: (i + Math.floor(i / 8)) % 24 },
      };
    });
    const absent = methods.filter((method) => chart.points.some((point) => point.method === method && !fits(point)));
    const why = (method) => {
      const point = chart.points.find((other) => other.method === method && !fits(other));
      return !(axis in point.cost) ? "not counted" : point.value > 0 || !logY ? `${point.cost[axis]} ${axis}` : `error ${point.value}`;
    };
    document.querySelector(`[data-note="${element.dataset.cost}"]`).textContent = absent.length
      ? `. Not on these axes: ${absent.map((method) => `${method} (${why(method)})`).join("; ")}` : "";
    plot(element, traces.filter((trace) => trace.x.length), axis, chart.metric, logX, logY);
  };
  const drawCurves = (element) => {
    const curves = data.curves[element.dataset.curves];
    const traces = Object.entries(curves).map(([name, [steps, values]], i) => ({
      name, type: "scatter", mode: "lines", x: steps, y: values,
      line: { color: colours[i % colours.length], dash: name.startsWith("val/") ? "dot" : "solid", width: 2 },
    }));
    plot(element, traces, "optimiser step", "logged value", false, spans(Object.values(curves).flatMap(([, values]) => values)));
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
