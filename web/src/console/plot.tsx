import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import type { History } from './model';

interface Line {
  series: string;
  label: string;
}

/** One quantity over the time that this page has been open, an hour at most. */
export function Plot({
  title,
  history,
  lines,
  format,
  least,
  whole = false,
  binary = false,
  tick,
}: {
  title: string;
  history: History;
  lines: Line[];
  format: (value: number | null) => string;
  /** The plot is at least so high: a value near nothing does not fill it. */
  least: number;
  /** There is nothing between one and two. */
  whole?: boolean;
  /** In powers of two. */
  binary?: boolean;
  /** Changes when the history has grown. */
  tick: number;
}) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const names = lines.map(({ series }) => series).join();

  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const dark = matchMedia('(prefers-color-scheme: dark)');
    const make = () => {
      plot.current?.destroy();
      plot.current = build(element, history, lines, { format, least, whole, binary });
    };
    make();
    const resize = new ResizeObserver(() =>
      plot.current?.setSize({ width: element.clientWidth, height: element.clientHeight }),
    );
    resize.observe(element);
    dark.addEventListener('change', make);
    return () => {
      resize.disconnect();
      dark.removeEventListener('change', make);
      plot.current?.destroy();
      plot.current = null;
    };
  }, [history, names]);

  useEffect(() => {
    plot.current?.setData(data(history, lines));
  }, [tick]);

  const now = lines.map(({ series, label }) => ({ label, value: format(history.last(series)) }));
  const words = now.map(({ label, value }) => (lines.length === 1 ? value : `${label} ${value}`)).join(', ');
  return (
    <figure class="plot">
      <figcaption>
        <span>{title}</span>
        <span class="now">
          {now.map(({ label, value }, index) => (
            <span key={label}>
              {lines.length > 1 && (
                <>
                  <i class={`swatch line${index}`} aria-hidden="true" /> {label}{' '}
                </>
              )}
              <strong>{value}</strong>
            </span>
          ))}
        </span>
      </figcaption>
      <div class="canvas" ref={box} role="img" aria-label={`${title} over time, now ${words}`} />
    </figure>
  );
}

function data(history: History, lines: Line[]): uPlot.AlignedData {
  return [history.times, ...lines.map(({ series }) => history.of(series))] as uPlot.AlignedData;
}

/** The time of day, with seconds only where labels stand closer than minutes. */
function clock(seconds: number, apart: number): string {
  return new Date(1000 * seconds).toLocaleTimeString([], {
    hour: '2-digit',
    minute: '2-digit',
    ...(apart < 60 ? { second: '2-digit' } : {}),
    hourCycle: 'h23',
  });
}

/** The shortest time that a plot shows, s: its first points do not fill it. */
const SHORTEST = 60;
const POWERS_OF_TWO = Array.from({ length: 50 }, (_, power) => 2 ** power);
const WHOLE = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 1e6];

/** "2.50 Mbit/s" → "2.5 M": the title says of what. */
function short(text: string): string {
  return text
    .replace(/^0 kbit\/s$/, '0')
    .replace(/(\.\d*?)0+(?=\D|$)/, '$1')
    .replace(/\.(?=\D|$)/, '')
    .replace('bit/s', '');
}

interface Scale {
  format: (value: number | null) => string;
  least: number;
  whole: boolean;
  binary: boolean;
}

function build(
  element: HTMLElement,
  history: History,
  lines: Line[],
  { format, least, whole, binary }: Scale,
): uPlot {
  const style = getComputedStyle(document.documentElement);
  const colour = (name: string) => style.getPropertyValue(name).trim();
  const axis = {
    stroke: colour('--soft'),
    grid: { stroke: colour('--line'), width: 1 },
    ticks: { show: false },
    font: '11px system-ui, sans-serif',
  };
  const strokes = [colour('--accent'), colour('--live'), colour('--warn-line')];
  return new uPlot(
    {
      width: element.clientWidth,
      height: element.clientHeight,
      legend: { show: false },
      cursor: { show: false },
      scales: {
        x: { range: (_plot, first, last) => [Math.min(first, last - SHORTEST), last] },
        y: { range: (_plot, _low, high) => [0, Math.max(least, (high ?? 0) * 1.1)] },
      },
      axes: [
        {
          ...axis,
          size: 22,
          space: 90,
          values: (_plot, values, _axis, _space, apart) =>
            history.times.length === 0 ? [] : values.map((value) => clock(value, apart)),
        },
        {
          ...axis,
          size: 48,
          space: 24,
          ...(whole ? { incrs: WHOLE } : binary ? { incrs: POWERS_OF_TWO } : {}),
          values: (_plot, values) => values.map((value) => short(format(value))),
        },
      ],
      series: [
        {},
        ...lines.map(({ label }, index) => ({
          label,
          stroke: strokes[index % strokes.length] as string,
          width: 2,
          points: { show: false },
        })),
      ],
    },
    data(history, lines),
    element,
  );
}
