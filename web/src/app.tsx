// The frame of every page, and which page the address names: #/ a new capture, #/c/ID one of this browser's, #/c/ID/report its
// report, #/s/TOKEN and #/s/TOKEN/report what a share shows, #/view and #/view/report what `splatworks view` serves. At /embed the
// page is in a frame of somebody else's and shows a share's viewer alone.
import { useEffect, useRef, useState } from 'preact/hooks';
import { Create } from './create';
import { later } from './later';

const Captures = later(() => import('./captures-list').then(m => m.Captures));
const CapturePage = later(() => import('./capture').then(m => m.CapturePage));
const SharedPage = later(() => import('./shared').then(m => m.SharedPage));
const ViewPage = later(() => import('./view').then(m => m.ViewPage));

const embedded = location.pathname.endsWith('/embed');

const here = () => location.hash.replace(/^#\/?/, '').split('/').map(decode);

function decode(s: string): string {
  try {
    return decodeURIComponent(s);
  } catch {
    return s;
  }
}

export function App() {
  const [path, go] = useState(here);
  const main = useRef<HTMLElement>(null);
  useEffect(() => {
    const moved = () => {
      go(here());
      scrollTo(0, 0);
      main.current?.focus({ preventScroll: true }); // a screen reader starts at the new page
    };
    addEventListener('hashchange', moved);
    return () => removeEventListener('hashchange', moved);
  }, []);
  const report = path[path.length - 1] === 'report';
  const own = path[0] !== 'view' && path[0] !== 's'; // not a guest's
  if (embedded) return <main ref={main} class="frame" tabIndex={-1}>{path[0] === 's' && path[1] ? <SharedPage key={path[1]} token={path[1]} report={false} embedded /> : <p>There is nothing here.</p>}</main>;
  return (
    <>
      <header class="top">
        <a class="brand" href={path[0] === 'view' ? '#/view' : '#/'}><img src="./icon.svg" alt="" width="28" height="28" />Splatworks</a>
        {own && <nav aria-label="Main"><a href="#/" aria-current={path[0] === '' ? 'page' : undefined}>New</a><a href="#/captures" aria-current={path[0] === 'captures' ? 'page' : undefined}>My captures</a></nav>}
      </header>
      <main ref={main} tabIndex={-1}>{page(path, report)}</main>
      <footer><a href="./licences.txt">Licences</a>{own && <a href="./docs">For programs: the API</a>}</footer>
    </>
  );
}

function page(path: string[], report: boolean) {
  switch (path[0]) {
    case '':
      return <Create />;
    case 'captures':
      return <Captures />;
    case 'view':
      return <ViewPage report={report} />;
    case 's':
      return <SharedPage key={path[1]} token={path[1] ?? ''} report={report} embedded={false} />;
    case 'c':
      return <CapturePage key={path[1]} id={path[1] ?? ''} report={report} />;
  }
  return <section><h1>There is nothing here</h1><p><a href="#/">Begin with a video or photos</a></p></section>;
}
