// The page for operators, which `splatworks operate` serves: #/ the queue and its requests, #/r/ID one request.
import { render } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { Problem } from './api';
import { asProblem, enter } from './desk';
import { Desk } from './operate-queue';
import { RequestPage } from './operate-request';
import './operate.css';
import { Trouble } from './parts';
import './style.css';

const here = () => location.hash.replace(/^#\/?/, '').split('/');

function Operate() {
  const [path, go] = useState(here);
  const [open, setOpen] = useState(false);
  const [problem, setProblem] = useState<Problem>();
  const main = useRef<HTMLElement>(null);
  useEffect(() => {
    enter().then(() => {
      setOpen(true);
      go(here());
    }, e => setProblem(asProblem(e)));
    const moved = () => {
      go(here());
      scrollTo(0, 0);
      main.current?.focus({ preventScroll: true }); // a screen reader starts at the new page
    };
    addEventListener('hashchange', moved);
    return () => removeEventListener('hashchange', moved);
  }, []);
  return (
    <>
      <header class="top"><a class="brand" href="#/"><img src="./icon.svg" alt="" width="28" height="28" />Splatworks: operate</a></header>
      <main ref={main} tabIndex={-1}>
        {open ? (path[0] === 'r' && path[1] ? <RequestPage key={path[1]} id={path[1]} /> : <Desk />) : problem ? <section><h1>Closed</h1><Trouble problem={problem} /></section> : <p role="status">Opening…</p>}
      </main>
    </>
  );
}

const root = document.getElementById('app');
if (root) render(<Operate />, root);
