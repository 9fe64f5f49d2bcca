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
  tick,
}: {
  title: string;
  history: History;
  lines: Line[];
  format: (value: number | null) => string;
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
      plot.current = build(element, history, lines, format);
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

  const now = lines.map(({ series, label }) => {
    const value = format(history.last(series));
    return lines.length === 1 ? value : `${label} ${value}`;
  });
  return (
    <figure class="plot">
      <figcaption>
        <span>{title}</span> <strong>{now.join(', ')}</strong>
      </figcaption>
      <div class="canvas" ref={box} role="img" aria-label={`${title} over time, now ${now.join(', ')}`} />
    </figure>
  );
}

function data(history: History, lines: Line[]): uPlot.AlignedData {
  return [history.times, ...lines.map(({ series }) => history.of(series))] as uPlot.AlignedData;
}

function clock(seconds: number): string {
  return new Date(1000 * seconds).toLocaleTimeString([], {
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
    hourCycle: 'h23',
  });
}

/** "2.50 Mbit/s" → "2.5 M": the title says of what. */
function short(text: string): string {
  return text
    .replace(/^0 kbit\/s$/, '0')
    .replace(/(\.\d*?)0+(?=\D|$)/, '$1')
    .replace(/\.(?=\D|$)/, '')
    .replace('bit/s', '');
}

function build(
  element: HTMLElement,
  history: History,
  lines: Line[],
  format: (value: number | null) => string,
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
      scales: { y: { range: (_plot, _low, high) => [0, high > 0 ? high * 1.1 : 1] } },
      axes: [
        { ...axis, size: 22, space: 90, values: (_plot, values) => values.map(clock) },
        { ...axis, size: 48, values: (_plot, values) => values.map((value) => short(format(value))) },
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
