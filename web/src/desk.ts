// The operators' API, as far as their page reads it, and the session that opens it. docs/operations.md has the whole.
import { useEffect, useState } from 'preact/hooks';
import { call, offline, pause, Problem } from './api';

export type Line = { ready: number; leased: number; delayed: number; workers: number; slots: number; oldest_ready_s?: number };
export type Overview = { stages: Record<string, Line>; statuses: Record<string, number> };
export type Asked = {
  request_id: string; session_id: string; caller?: string; status: string; stage?: string; position?: number; attempt?: number; priority: number;
  options: Record<string, unknown>; progress: { step: string; percent: number; message?: string };
  failure?: { code: string; message: string; advice: string }; created_at: string; updated_at: string; retry_at?: string;
};
export type Attempt = {
  attempt: number; worker?: string; outcome: string; from_s: number; wait_s: number; launch_s: number; work_s: number;
  kind?: string; code?: string; message?: string; cause?: string; log?: string[]; cost_usd?: number;
};
export type Program = { name: string; runs: number; wall_s: number; cpu_s: number };
export type Story = {
  request_id: string; session_id: string; caller?: string; trace_id?: string; status: string; now?: string; advice?: string; created_at: string; finished_at?: string;
  stages: { stage: string; state: string; attempts: Attempt[]; steps?: { name: string; wall_s: number }[]; programs?: Program[]; cost_usd?: number }[];
  sum: { total_s: number; wait_s: number; launch_s: number; work_s: number; other_s: number; cost_usd?: number };
};
export type Stored = { bucket: string; name: string; size: string };
export type OptionSchema = { type: string; description: string; enum?: string[]; default?: unknown; minimum?: number; maximum?: number };

const place = 'splatworks.operate';
let token = sessionStorage.getItem(place) ?? '';

// enter uses the key in the address, which opens the page once, and takes it out of the history.
export async function enter(): Promise<void> {
  const key = location.hash.slice(1);
  if (/^[\w-]{43}$/.test(key)) {
    history.replaceState(null, '', location.pathname + '#/');
    const answer = await call('/session', { method: 'POST', headers: { Authorization: 'Bearer ' + key } });
    token = (await answer.json()).token;
    sessionStorage.setItem(place, token);
  }
  if (!token) throw new Problem(401, 'no_session', 'This page opens by its link only.', 'Start splatworks operate, and open the link that it prints.');
  await ask('/queue');
}

export async function ask<T>(path: string, method = 'GET', body?: unknown, signal?: AbortSignal): Promise<T> {
  const answer = await call('/api' + path, {
    method, signal, headers: { Authorization: 'Bearer ' + token, ...(body === undefined ? {} : { 'Content-Type': 'application/json' }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return answer.json();
}

export const asProblem = (e: unknown) => (e instanceof Problem ? e : offline());

// useFresh reads something now and every few seconds while the page is looked at.
export function useFresh<T>(path: string, everyS = 4): [T | undefined, Problem | undefined, () => void] {
  const [value, setValue] = useState<T>();
  const [problem, setProblem] = useState<Problem>();
  const [round, again] = useState(0);
  useEffect(() => {
    const abort = new AbortController();
    void (async () => {
      while (!abort.signal.aborted) {
        if (!document.hidden || round === 0) {
          await ask<T>(path, 'GET', undefined, abort.signal).then(v => {
            setValue(() => v);
            setProblem(undefined);
          }, e => abort.signal.aborted || setProblem(asProblem(e)));
        }
        await pause(everyS * 1000, abort.signal);
      }
    })();
    return () => abort.abort();
  }, [path, round]);
  useEffect(() => setValue(undefined), [path]);
  return [value, problem, () => again(n => n + 1)];
}

export function span(s: number): string {
  if (s < 10) return `${s.toFixed(1)} s`;
  if (s < 120) return `${Math.round(s)} s`;
  if (s < 7200) return `${Math.round(s / 60)} min`;
  return `${(s / 3600).toFixed(1)} h`;
}
