// The viewer alone, in a page that holds its splat: viewer.html, which needs no server. web/standalone.go puts it together.
import { render } from 'preact';
import './look.css';
import * as scene from './scene';
import './style.css';
import { Viewer } from './viewer';

function start(root: HTMLElement, held: HTMLElement) {
  const { title = '', name = '', view = 'null', unit } = held.dataset;
  const splat = decoded(held.textContent);
  held.textContent = ''; // it may be large
  render(
    <main class="frame embedded" aria-label={title}>
      <h1 class="visually-hidden">{title}</h1>
      <Viewer file={{ url: URL.createObjectURL(splat), file_name: name, size: splat.size }} start={JSON.parse(view) ?? undefined} title={title} unit={unit === 'metre' ? unit : 'unknown'} load={() => Promise.resolve(scene)}
        otherwise="A newer browser may show it." />
    </main>, root);
}

// decoded reads base64 in pieces. A data: address would do, but Firefox reads none of more than 32 MB, which 1.5 million Gaussians have.
function decoded(text: string): Blob {
  const piece = 1 << 16, parts: Uint8Array<ArrayBuffer>[] = [];
  for (let at = 0; at < text.length; at += piece) {
    const raw = atob(text.slice(at, at + piece)), bytes = new Uint8Array(raw.length);
    for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
    parts.push(bytes);
  }
  return new Blob(parts);
}

const root = document.getElementById('app'), held = document.getElementById('splat');
if (root && held) start(root, held);
