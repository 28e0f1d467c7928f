// A new request, and the beginning of its upload.
import { type Accepted, cancel, type Options, post, Problem } from './api';
import { keep, type Part } from './captures';
import { contentType } from './files';
import { bytes } from './format';
import { start } from './transfer';

// submit asks for the reconstruction, keeps what opens it, and begins the upload.
export async function submit(files: File[], title: string, o: Options, apiKey: string, email: string): Promise<string> {
  const several = files.length > 1;
  const parts: Part[] = files.map(f => ({ name: f.name, size: f.size, modified: f.lastModified, type: contentType(f) }));
  const session = `web-${Date.now().toString(36)}-${random()}`;
  const ask = { session_id: session, options: o, ...(several ? { uploads: 'several' } : { content_type: parts[0]!.type }), ...(email ? { email } : {}) };
  const headers: Record<string, string> = { 'Idempotency-Key': random() + random() };
  if (apiKey) headers['X-Api-Key'] = apiKey;
  const a = await post<Accepted>('/trigger-reconstruction', ask, undefined, headers);
  if (apiKey) sessionStorage.setItem('splatworks.key', apiKey);
  const most = a.upload?.max_bytes ?? 0;
  if (most > 0 && files[0]!.size > most) {
    await cancel(a.callback_token).catch(() => undefined);
    throw new Problem(0, 'too_large', `The file is larger than the ${bytes(most)} that are taken here.`, 'Send a shorter video, or fewer photos.');
  }
  keep({ id: a.request_id, token: a.callback_token, title, created: new Date().toISOString(), options: o, parts, several, uploaded: false });
  start(a.request_id, files, a.upload);
  return a.request_id;
}

function random(): string {
  return [...crypto.getRandomValues(new Uint8Array(8))].map(b => b.toString(16).padStart(2, '0')).join('');
}
