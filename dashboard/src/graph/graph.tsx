/** A graph that can be moved and enlarged; every box is a link, so the keyboard reaches all of them. */
import type { JSX } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { href, hrefWith } from "../config";
import { plural } from "../text/format";
import { quoted } from "../text/query";
import { Button, Skeleton } from "../ui/basics";
import { StateBar, StateIcon } from "../ui/state";
import { type Box, countsOf, type Drawing, loudest } from "./fold";
import { BOX, type Layout, type Point } from "./layout";

interface View {
  x: number;
  y: number;
  scale: number;
}

const LEAST = 0.15;
const MOST = 2;

/** The layout of what is drawn, made in a worker; done again when the shape changes, not when states do. */
function useLayout(drawing: Drawing, direction: "TB" | "LR"): Layout | null {
  const [found, setFound] = useState<Layout | null>(null);
  const shape = useMemo(
    () => JSON.stringify([drawing.boxes.map((box) => box.id), drawing.edges, direction]),
    [drawing, direction],
  );
  useEffect(() => {
    const worker = new Worker(new URL("./layout.worker.ts", import.meta.url), { type: "module" });
    worker.onmessage = (event: MessageEvent<{ layout: Layout }>) => setFound(event.data.layout);
    const [ids, edges] = JSON.parse(shape);
    worker.postMessage({ number: 1, asked: { ids, edges, direction } });
    return () => worker.terminate();
  }, [shape]);
  return found;
}

export function GraphView({ drawing, flow }: { drawing: Drawing; flow: string }): JSX.Element {
  const [direction, setDirection] = useState<"TB" | "LR">("LR");
  const layout = useLayout(drawing, direction);
  const frame = useRef<HTMLDivElement>(null);
  const [view, setView] = useState<View>({ x: 0, y: 0, scale: 1 });
  const fit = (): void => {
    const box = frame.current?.getBoundingClientRect();
    if (!box || !layout?.width) return;
    const scale = Math.min(1.1, Math.max(LEAST, Math.min(box.width / layout.width, box.height / layout.height)));
    setView({ scale, x: (box.width - layout.width * scale) / 2, y: (box.height - layout.height * scale) / 2 });
  };
  useEffect(fit, [layout]);
  const zoom = (factor: number, at?: Point): void =>
    setView((before) => {
      const scale = Math.min(MOST, Math.max(LEAST, before.scale * factor));
      const box = frame.current!.getBoundingClientRect();
      const centre = at ?? { x: box.width / 2, y: box.height / 2 };
      const share = scale / before.scale;
      return { scale, x: centre.x - (centre.x - before.x) * share, y: centre.y - (centre.y - before.y) * share };
    });
  const move = useMoving(setView);
  const onWheel = (event: WheelEvent): void => {
    if (!event.ctrlKey && !event.metaKey) return; // else it is the page that is scrolled
    event.preventDefault();
    const box = frame.current!.getBoundingClientRect();
    zoom(event.deltaY < 0 ? 1.15 : 1 / 1.15, { x: event.clientX - box.left, y: event.clientY - box.top });
  };
  return (
    <div class="graph-box">
      <div class="graph-tools" role="toolbar" aria-label="View of the graph">
        <Button small onClick={() => zoom(1.25)} title="Larger (Ctrl and wheel)">+</Button>
        <Button small onClick={() => zoom(0.8)} title="Smaller">−</Button>
        <Button small onClick={fit}>Fit</Button>
        <Button small onClick={() => setDirection(direction === "TB" ? "LR" : "TB")}>
          {direction === "TB" ? "Left to right" : "Top down"}
        </Button>
      </div>
      <div ref={frame} class="graph" onWheel={onWheel} {...move}>
        {!layout ? (
          <div class="pad"><Skeleton lines={5} /></div>
        ) : (
          <div class="graph-sheet" style={{ width: `${layout.width}px`, height: `${layout.height}px`, transform: `translate(${view.x}px, ${view.y}px) scale(${view.scale})` }}>
            <svg width={layout.width} height={layout.height} aria-hidden="true">
              {layout.lines.map((line) => <path key={`${line.parent} ${line.child}`} d={curve(line, layout.boxes, layout.direction)} />)}
            </svg>
            {drawing.boxes.map((box) => {
              const at = layout.boxes[box.id];
              return at && <BoxLink key={box.id} box={box} at={at} flow={flow} />;
            })}
          </div>
        )}
      </div>
      {drawing.left > 0 && <p class="pad small soft">{plural(drawing.left, "job")} more are not drawn; the list has them.</p>}
    </div>
  ); // biome-ignore format: one tool a line
}

function BoxLink({ box, at, flow }: { box: Box; at: Point; flow: string }): JSX.Element {
  const state = loudest(box.jobs);
  const many = box.jobs.length > 1;
  const address = many ? hrefWith("/jobs", { q: `workflow:${flow} kind:${quoted(box.title)}` }) : href("/jobs", box.id);
  return (
    <a
      class="graph-node"
      data-state={state}
      href={address}
      style={{ left: `${at.x - BOX.width / 2}px`, top: `${at.y - BOX.height / 2}px`, width: `${BOX.width}px`, height: `${BOX.height}px` }}
      draggable={false}
    >
      <StateIcon state={state} />
      <span class="stack tight grow">
        <span class="cut strong">{box.title}</span>
        {many ? <StateBar counts={countsOf(box.jobs)} /> : <span class="cut small soft">{box.jobs[0]!.role === "callback" ? `callback · ${state}` : state}</span>}
      </span>
      {many && <span class="strong">×{box.jobs.length}</span>}
    </a>
  ); // biome-ignore format: one part a line
}

interface Moving {
  onPointerDown: (event: PointerEvent) => void;
  onPointerMove: (event: PointerEvent & { currentTarget: HTMLElement }) => void;
  onPointerUp: () => void;
  onPointerCancel: () => void;
}

/** Dragging moves the sheet; a drag that began on a box still opens it if it went nowhere. */
function useMoving(setView: (change: (before: View) => View) => void): Moving {
  const from = useRef<{ x: number; y: number; id: number; moved: boolean } | null>(null);
  return {
    onPointerDown: (event) => {
      if (event.button === 0) from.current = { x: event.clientX, y: event.clientY, id: event.pointerId, moved: false };
    },
    onPointerMove: (event) => {
      const start = from.current;
      if (!start || start.id !== event.pointerId) return;
      const [dx, dy] = [event.clientX - start.x, event.clientY - start.y];
      if (!start.moved && Math.hypot(dx, dy) < 4) return;
      if (!start.moved) event.currentTarget.setPointerCapture(event.pointerId);
      from.current = { ...start, x: event.clientX, y: event.clientY, moved: true };
      setView((before) => ({ ...before, x: before.x + dx, y: before.y + dy }));
    },
    onPointerUp: () => {
      const moved = from.current?.moved;
      from.current = null;
      if (moved) addEventListener("click", swallow, { capture: true, once: true });
      if (moved) setTimeout(() => removeEventListener("click", swallow, { capture: true }), 0);
    },
    onPointerCancel: () => {
      from.current = null;
    },
  };
}

function swallow(event: MouseEvent): void {
  event.preventDefault();
  event.stopPropagation();
}

/** A line from the middle of one side to the middle of the other, by way of the bends that long ones need. */
function curve(line: Layout["lines"][number], boxes: Layout["boxes"], direction: "TB" | "LR"): string {
  const [from, to] = [boxes[line.parent], boxes[line.child]];
  if (!from || !to) return "";
  const flat = direction === "LR";
  const bends = line.points.length > 3 ? line.points.slice(1, -1) : [];
  const half = flat ? BOX.width / 2 : BOX.height / 2;
  const stops = [port(from, half, flat), ...bends, port(to, -half, flat)];
  const parts = [`M${stops[0]!.x} ${stops[0]!.y}`];
  for (let at = 1; at < stops.length; at += 1) {
    const [a, b] = [stops[at - 1]!, stops[at]!];
    const middle = flat ? (a.x + b.x) / 2 : (a.y + b.y) / 2;
    parts.push(
      flat ? `C${middle} ${a.y} ${middle} ${b.y} ${b.x} ${b.y}` : `C${a.x} ${middle} ${b.x} ${middle} ${b.x} ${b.y}`,
    );
  }
  return parts.join("");
}

function port(box: Point, half: number, flat: boolean): Point {
  return flat ? { x: box.x + half, y: box.y } : { x: box.x, y: box.y + half };
}
