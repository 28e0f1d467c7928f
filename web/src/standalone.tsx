// The viewer alone, in a page that holds its splat: viewer.html, which needs no server. web/standalone.go puts it together.
import { render } from 'preact';
import './look.css';
import * as scene from './scene';
import './style.css';
import { Viewer } from './viewer';

async function start(root: HTMLElement, held: HTMLElement) {
  const { title = '', name = '', view = 'null', unit } = held.dataset;
  const splat = await (await fetch(`data:application/octet-stream;base64,${held.textContent}`)).blob();
  held.textContent = ''; // it may be large
  render(
    <main class="frame embedded" aria-label={title}>
      <h1 class="visually-hidden">{title}</h1>
      <Viewer file={{ url: URL.createObjectURL(splat), file_name: name, size: splat.size }} start={JSON.parse(view) ?? undefined} title={title} unit={unit === 'metre' ? unit : 'unknown'} load={() => Promise.resolve(scene)}
        otherwise="A newer browser may show it." />
    </main>, root);
}

const root = document.getElementById('app'), held = document.getElementById('splat');
if (root && held) void start(root, held);
