/** A small line without axes; its numbers are said in words. */
import type { JSX } from "preact";
import { count } from "../text/format";

export function Spark(props: {
  values: readonly number[];
  label: string;
  width?: number;
  height?: number;
  tone?: string;
}): JSX.Element {
  const { values, width = 96, height = 22 } = props;
  const most = Math.max(1, ...values);
  const step = values.length > 1 ? width / (values.length - 1) : width;
  const points = values.map(
    (value, at) => `${(at * step).toFixed(1)},${(height - 1.5 - (value / most) * (height - 3)).toFixed(1)}`,
  );
  const words = `${props.label}: ${count(values.at(-1) ?? 0)} now, ${count(Math.max(0, ...values))} at most`;
  return (
    <svg
      class="spark"
      data-tone={props.tone}
      width={width}
      height={height}
      viewBox={`0 0 ${width} ${height}`}
      role="img"
      aria-label={words}
    >
      <polygon points={`0,${height} ${points.join(" ")} ${width},${height}`} fill="currentColor" opacity="0.13" />
      <polyline
        points={points.join(" ")}
        fill="none"
        stroke="currentColor"
        stroke-width="1.4"
        stroke-linejoin="round"
      />
    </svg>
  );
}
