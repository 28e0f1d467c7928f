// Cloud Storage's resumable uploads, which the local backend speaks too: a session takes a file in pieces and says how much it
// has, so that an upload continues where it broke off, after a lost connection or a reload.
import { type Link, offline, pause, Problem } from './api';

const chunk = 8 << 20; // a multiple of 256 KiB

// open begins a session; its address is all that is needed to continue.
export async function open(link: Link): Promise<string> {
  let answer: Response;
  try {
    answer = await fetch(link.url, { method: link.method, headers: link.headers });
  } catch {
    throw offline();
  }
  const session = answer.headers.get('Location');
  if (!answer.ok || !session) throw new Problem(answer.status, 'upload_refused', 'The storage refuses the upload.', 'Start again.');
  return session;
}

// send uploads file to session from where it was left. sent is called with the number of bytes sent, which falls when
// some got lost; trouble with whether it waits for a connection. It ends when all has arrived, and fails when the session is no more.
export async function send(session: string, file: File, sent: (bytes: number) => void, trouble: (waits: boolean) => void, signal: AbortSignal): Promise<void> {
  let at = -1, failures = 0; // at: what the storage has; -1: to be asked
  while (true) {
    try {
      const end = at < 0 ? 0 : Math.min(at + chunk, file.size);
      const range = at < 0 || file.size === 0 ? `bytes */${file.size}` : `bytes ${at}-${end - 1}/${file.size}`;
      const from = at;
      const answer = await put(session, at < 0 ? null : file.slice(at, end), range, n => sent(from + n), signal);
      trouble(false);
      if (answer.status === 200 || answer.status === 201) return sent(file.size);
      if (answer.status === 308) {
        const has = /^bytes=0-(\d+)$/.exec(answer.range ?? '');
        const next = has ? Number(has[1]) + 1 : 0;
        if (at < 0 || next > at) failures = 0;
        at = next;
        sent(at);
        continue;
      }
      if (answer.status < 500 && answer.status !== 408 && answer.status !== 429)
        throw new Problem(answer.status, 'upload_lost', 'The storage does not know this upload any more.', 'Start again.');
      throw offline();
    } catch (e) {
      if (signal.aborted || (e instanceof Problem && e.code !== 'offline')) throw e;
      at = -1;
      trouble(true);
      await pause(Math.min(15000, 500 * 2 ** failures++), signal);
      signal.throwIfAborted();
    }
  }
}

// put is one PUT. fetch does not report how much of a body has been sent; XMLHttpRequest does.
function put(url: string, body: Blob | null, range: string, left: (bytes: number) => void, signal: AbortSignal) {
  return new Promise<{ status: number; range: string | null }>((resolve, reject) => {
    const x = new XMLHttpRequest();
    const stop = () => x.abort();
    x.open('PUT', url);
    x.setRequestHeader('Content-Range', range);
    if (body) x.upload.onprogress = e => left(e.loaded);
    x.onload = () => resolve({ status: x.status, range: x.getResponseHeader('Range') });
    x.onerror = x.ontimeout = () => reject(offline());
    x.onabort = () => reject(signal.reason ?? offline());
    x.onloadend = () => signal.removeEventListener('abort', stop);
    signal.addEventListener('abort', stop);
    if (signal.aborted) return reject(signal.reason);
    x.send(body);
  });
}
