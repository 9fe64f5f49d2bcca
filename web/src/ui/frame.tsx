import type { ComponentChildren } from 'preact';
import icon from '../icon.svg';

/** The bar on top of every page. */
export function Bar({ children }: { children?: ComponentChildren }) {
  return (
    <header class="bar">
      <a class="brand" href="/">
        <img src={icon} alt="" width="28" height="28" /> shibuki
      </a>
      {children}
    </header>
  );
}

/** Something to tell: what happened, and what to do. */
export function Notice({
  tone,
  what,
  todo,
  children,
}: {
  tone: 'info' | 'warn' | 'error';
  what: string;
  todo?: string;
  children?: ComponentChildren;
}) {
  return (
    <div class={`notice ${tone}`} role={tone === 'error' ? 'alert' : 'status'}>
      <p>
        <strong>{what}</strong> {todo}
      </p>
      {children}
    </div>
  );
}

/** Names and values in two columns. */
export function Facts({ rows }: { rows: [string, string][] }) {
  return (
    <dl class="facts">
      {rows.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
