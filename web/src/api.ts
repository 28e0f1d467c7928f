// The documents of the request API, as far as this page reads them, and the calls it makes. docs/api.md has the whole.

export type Options = { preset?: string; sky?: string; background_mode?: string; projection?: string; compensate_exposure?: boolean };
export type Link = { method: string; url: string; headers: Record<string, string>; max_bytes?: number };
export type Accepted = {
  request_id: string; callback_token: string; upload?: Link; uploads_url?: string; complete_url?: string;
};
export type Warning = { code: string; stage?: string; message: string; advice?: string };
export type Failure = { code: string; stage?: string; message: string; advice: string; retryable: boolean };
export type Preview = { kind: 'points' | 'splat'; version: string; file_name: string; size: number; url: string };
export type Result = { kind: string; file_name: string; size: number; url: string };
export type Status = {
  request_id: string; session_id: string; status: 'QUEUED' | 'PROCESSING' | 'COMPLETED' | 'FAILED' | 'CANCELED'; stage?: string;
  progress: { percent: number; step: string; message?: string; stages: { stage: string; percent: number }[] };
  queue_position?: number; eta_s?: number; attempts: number; retry_at?: string; warnings: Warning[]; failure?: Failure; preview?: Preview; results?: Result[];
  timings: { created_at: string; finished_at?: string; stages?: { stage: string; wall_s: number }[] };
};

export const ended = (status?: string) => status === 'COMPLETED' || status === 'FAILED' || status === 'CANCELED';

// Problem is an error answer of the API (RFC 9457), or code "offline" when there was no answer.
export class Problem extends Error {
  constructor(readonly status: number, readonly code: string, detail: string, readonly advice: string, readonly retryAfter = 0) {
    super(detail);
  }
}

export const offline = () => new Problem(0, 'offline', 'The server does not answer.', 'Check the connection; this page continues when it is back.');

export async function call(path: string, init: RequestInit = {}): Promise<Response> {
  let answer: Response;
  try {
    answer = await fetch(path, { cache: 'no-store', ...init });
  } catch (e) {
    if (init.signal?.aborted) throw e;
    throw offline();
  }
  if (answer.ok || answer.status === 304) return answer;
  const p = await answer.json().catch(() => ({}));
  throw new Problem(answer.status, p.code ?? 'http_' + answer.status, p.detail ?? `The server answered ${answer.status}.`,
    p.advice ?? 'Try again later.', Number(answer.headers.get('Retry-After')) || 0);
}

const bearer = (token: string) => ({ Authorization: 'Bearer ' + token });

export async function post<T>(path: string, body: unknown, token?: string, headers: Record<string, string> = {}): Promise<T> {
  const answer = await call(path, {
    method: 'POST', body: JSON.stringify(body),
    headers: { 'Content-Type': 'application/json', ...(token ? bearer(token) : {}), ...headers },
  });
  return answer.json();
}

export const deployment = (): Promise<{ email: boolean }> => call('/deployment').then(a => a.json());

export type Share = { share_id: string; title?: string; created_at: string; expires_at?: string; photos?: boolean; share_token?: string; url?: string };

export type Note = { position: [number, number, number]; text: string };
export type Notes = { notes: Note[]; version?: string };

export const notes = (token: string): Promise<Notes> => call('/notes', { headers: bearer(token) }).then(a => a.json());
export const putNotes = (token: string, n: Notes): Promise<Notes> =>
  call('/notes', { method: 'PUT', body: JSON.stringify(n), headers: { 'Content-Type': 'application/json', ...bearer(token) } }).then(a => a.json());

export type Opened = { title?: string; results: Result[]; notes?: Note[] };

export const shares = (token: string): Promise<{ shares: Share[] }> => call('/shares', { headers: bearer(token) }).then(a => a.json());
export const remove = (path: string, token: string) => call(path, { method: 'DELETE', headers: bearer(token) });
export const opened = (shareToken: string): Promise<Opened> => call('/shared', { headers: bearer(shareToken) }).then(a => a.json());

export const cancel = (token: string) => post<Status>('/cancel', {}, token);

// follow reads the status document now and again after every change, until the request has ended or signal says so. What
// goes wrong is passed to trouble and retried; an unknown token ends it.
export async function follow(token: string, onStatus: (s: Status) => void, trouble: (p?: Problem) => void, signal: AbortSignal): Promise<void> {
  let tag = '', failures = 0;
  while (!signal.aborted) {
    try {
      const answer = await call(tag ? '/status?wait=25s' : '/status', { signal, headers: { ...bearer(token), ...(tag ? { 'If-None-Match': tag } : {}) } });
      failures = 0;
      trouble(undefined);
      if (answer.status === 304) continue;
      tag = answer.headers.get('ETag') ?? '';
      const s: Status = await answer.json();
      if (signal.aborted) return;
      onStatus(s);
      if (ended(s.status)) return;
      await pause(400, signal); // progress comes in bursts
    } catch (e) {
      if (signal.aborted) return;
      const p = e instanceof Problem ? e : offline();
      trouble(p);
      if (p.status >= 400 && p.status < 500 && p.status !== 429) return;
      await pause(Math.max(p.retryAfter * 1000, Math.min(15000, 1000 * 2 ** failures++)), signal);
    }
  }
}

// pause ends early when signal says so, or when the browser is connected again.
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    const done = () => {
      clearTimeout(timer);
      removeEventListener('online', done);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    addEventListener('online', done);
    signal.addEventListener('abort', done);
  });
}
