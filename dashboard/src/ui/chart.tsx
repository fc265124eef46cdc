/** A chart over time. The drawing is uPlot's, loaded when the first chart is shown; the numbers are also there as a table. */
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type uPlot from "uplot";
import { theme, zone } from "../state/prefs";
import { absolute, tickText as moment } from "../text/moments";

export interface Line {
  label: string;
  /** The name of a custom property, e.g. `--completed`. */
  color: string;
  values: readonly (number | null)[];
  dashed?: boolean;
  bars?: boolean;
}

export interface ChartProps {
  title: string;
  /** Unix seconds. */
  times: readonly number[];
  lines: readonly Line[];
  format: (value: number) => string;
  height?: number;
}

type Plot = typeof uPlot;
let loaded: Plot | undefined;

async function plotter(): Promise<Plot> {
  if (!loaded) {
    await import("uplot/dist/uPlot.min.css");
    loaded = (await import("uplot")).default;
  }
  return loaded;
}

export function Chart(props: ChartProps): JSX.Element {
  const box = useRef<HTMLDivElement>(null);
  const [ready, setReady] = useState(!!loaded);
  const shade = theme.value;
  const place = zone.value;
  const height = props.height ?? 170;
  useEffect(() => {
    void plotter().then(() => setReady(true));
  }, []);
  useEffect(() => {
    const host = box.current;
    if (!host || !loaded || !props.times.length) return;
    const data = [[...props.times], ...props.lines.map((line) => [...line.values])] as uPlot.AlignedData;
    const plot = new loaded(describe(props, host, height, place), data, host);
    const watch = new ResizeObserver(() => plot.setSize({ width: Math.max(80, host.clientWidth), height }));
    watch.observe(host);
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const redraw = (): void => plot.redraw(false);
    dark.addEventListener("change", redraw);
    return () => {
      watch.disconnect();
      dark.removeEventListener("change", redraw);
      plot.destroy();
    };
  }, [ready, shade, place, props.times, props.lines, height]);
  return (
    <figure class="stack tight">
      <figcaption class="legend">
        <span class="hidden-visually">{props.title}</span>
        {props.lines.map((line) => (
          <span key={line.label} style={{ "--c": `var(${line.color})` }}>
            <i />
            {line.label} <b>{lastOf(line, props.format)}</b>
          </span>
        ))}
      </figcaption>
      <div class="chart" ref={box} aria-hidden="true" style={{ height: `${height}px` }} />
      <Numbers {...props} />
    </figure>
  );
}

function lastOf(line: Line, format: ChartProps["format"]): string {
  const last = line.values.findLast((value) => value !== null);
  return last === null || last === undefined ? "" : format(last);
}

/** What screen readers get: at most 60 rows. */
function Numbers(props: ChartProps): JSX.Element {
  const step = Math.max(1, Math.ceil(props.times.length / 60));
  return (
    <div class="hidden-visually">
      <table>
        <caption>{props.title}</caption>
        <thead>
          <tr>
            <th scope="col">time</th>
            {props.lines.map((line) => (
              <th key={line.label} scope="col">
                {line.label}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {props.times.map((time, at) =>
            at % step ? null : (
              <tr key={time}>
                <th scope="row">{absolute(time * 1000, zone.value)}</th>
                {props.lines.map((line) => (
                  <td key={line.label}>{line.values[at] === null ? "none" : props.format(line.values[at] ?? 0)}</td>
                ))}
              </tr>
            ),
          )}
        </tbody>
      </table>
    </div>
  );
}

/** The colour that a custom property stands for, here and now. */
function colorOf(host: HTMLElement, name: string): string {
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  host.append(probe);
  const color = getComputedStyle(probe).color;
  probe.remove();
  return color;
}

function describe(props: ChartProps, host: HTMLElement, height: number, place: string): uPlot.Options {
  const axis = { stroke: () => colorOf(host, "--text-3"), font: "11px system-ui", ticks: { show: false } };
  const grid = { stroke: () => colorOf(host, "--line"), width: 1 };
  const timezone = place === "local" ? undefined : place;
  return {
    width: Math.max(80, host.clientWidth),
    height,
    padding: [8, 8, 0, 0],
    legend: { show: false },
    cursor: { y: false, points: { size: 5 }, sync: { key: "windlass" } },
    ...(timezone && { tzDate: (seconds: number) => loaded!.tzDate(new Date(seconds * 1000), timezone) }),
    scales: { y: { range: (_plot, _low, high) => [0, Math.max(high * 1.08, 1e-3)] } },
    axes: [
      {
        ...axis,
        grid: { show: false },
        size: 24,
        gap: 4,
        values: (_plot, ticks) =>
          ticks.map((tick, at) => moment(tick * 1000, place, at === 0 ? null : (ticks[at - 1] ?? 0) * 1000)),
      },
      { ...axis, grid, size: 54, gap: 4, values: (_plot, ticks) => ticks.map((tick) => props.format(tick)) },
    ],
    hooks: { setCursor: [tooltip(props, host, place)] },
    series: [
      {},
      ...props.lines.map((line) => ({
        label: line.label,
        stroke: () => colorOf(host, line.color),
        width: 1.6,
        points: { show: line.values.filter((value) => value !== null).length < 40 && !line.bars, size: 4 },
        spanGaps: false,
        ...(line.dashed && { dash: [5, 4] }),
        ...(line.bars && {
          fill: () => colorOf(host, line.color),
          width: 0,
          paths: loaded!.paths.bars!({ size: [0.75, 24] }),
        }),
      })),
    ],
  };
}

function tooltip(props: ChartProps, host: HTMLElement, place: string): (plot: uPlot) => void {
  let tip: HTMLElement | null = null;
  return (plot) => {
    const at = plot.cursor.idx;
    if (at === null || at === undefined || (plot.cursor.left ?? -1) < 0) {
      tip?.remove();
      tip = null;
      return;
    }
    if (!tip) {
      tip = document.createElement("div");
      tip.className = "chart-tip";
      host.append(tip);
    }
    const lines = props.lines.map((line) => {
      const value = line.values[at];
      return `${line.label}: ${value === null || value === undefined ? "–" : props.format(value)}`;
    });
    tip.textContent = [absolute((props.times[at] ?? 0) * 1000, place), ...lines].join("\n");
    const left = (plot.cursor.left ?? 0) + plot.bbox.left / devicePixelRatio;
    tip.style.left = `${Math.min(left + 12, host.clientWidth - tip.offsetWidth - 4)}px`;
  };
}
