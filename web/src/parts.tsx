// Small pieces that several pages use.
import { Problem, type Warning } from './api';

export function Trouble({ problem }: { problem?: Problem }) {
  if (!problem) return null;
  return <div class="note bad" role="alert"><p>{problem.message}</p><p>{problem.advice}</p></div>;
}

export function Warnings({ list }: { list?: Warning[] }) {
  if (!list?.length) return null;
  return (
    <section class="warnings" aria-label="Warnings">
      <h2>{list.length === 1 ? 'One thing to know' : `${list.length} things to know`}</h2>
      <ul>{list.map(w => <li key={w.code + w.message} class="note warn"><p>{w.message}</p>{w.advice && <p>{w.advice}</p>}<code>{w.code}</code></li>)}</ul>
    </section>
  );
}

export function Bar({ label, percent }: { label: string; percent: number }) {
  return <progress aria-label={label} max={100} value={percent}>{Math.round(percent)} %</progress>;
}
