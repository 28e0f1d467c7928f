// What this browser knows of its captures. It is kept here and nowhere else: the tokens in it read and cancel the requests.
import { useEffect, useReducer } from 'preact/hooks';
import type { Options } from './api';

export type Part = { name: string; size: number; modified: number; type: string; session?: string; done?: boolean };
export type Capture = {
  id: string; token: string; title: string; created: string; options: Options;
  parts: Part[]; several: boolean; uploaded: boolean;
  status?: string; percent?: number;
};

const key = 'splatworks.captures';
let list: Capture[] = read();
const watchers = new Set<() => void>();

function read(): Capture[] {
  try {
    const kept = JSON.parse(localStorage.getItem(key) ?? '[]');
    return Array.isArray(kept) ? kept.filter(c => c && typeof c.id === 'string' && typeof c.token === 'string' && Array.isArray(c.parts)) : [];
  } catch {
    return [];
  }
}

function write(next: Capture[]) {
  list = next;
  try {
    localStorage.setItem(key, JSON.stringify(list));
  } catch {
    // Storage is full or switched off: the list lasts as long as the page.
  }
  watchers.forEach(w => w());
}

addEventListener('storage', e => {
  if (e.key !== key && e.key !== null) return;
  list = read();
  watchers.forEach(w => w());
});

export const captures = () => list;
export const capture = (id: string) => list.find(c => c.id === id);
export const keep = (c: Capture) => write([c, ...list.filter(o => o.id !== c.id)]);
export const forget = (id: string) => write(list.filter(c => c.id !== id));

export function change(id: string, to: Partial<Capture>) {
  const c = capture(id);
  if (c && Object.entries(to).some(([k, v]) => c[k as keyof Capture] !== v)) write(list.map(o => (o.id === id ? { ...o, ...to } : o)));
}

export function changePart(id: string, name: string, to: Partial<Part>) {
  const c = capture(id);
  if (c) change(id, { parts: c.parts.map(p => (p.name === name ? { ...p, ...to } : p)) });
}

// useCaptures draws again whenever the list changes.
export function useCaptures(): Capture[] {
  const [, again] = useReducer((n: number, _: void) => n + 1, 0);
  useEffect(() => {
    const w = () => again();
    watchers.add(w);
    return () => void watchers.delete(w);
  }, []);
  return list;
}
