// Parts of the page that are loaded when they are first needed.
import type { ComponentType } from 'preact';
import { useEffect, useState } from 'preact/hooks';

export function later<P extends object>(load: () => Promise<ComponentType<P>>): ComponentType<P> {
  return (props: P) => {
    const [Part, set] = useState<ComponentType<P>>();
    const [failed, fail] = useState(false);
    useEffect(() => {
      load().then(p => set(() => p), () => fail(true));
    }, []);
    if (failed) return <p class="note bad" role="alert">The rest of this page does not load. Check the connection and open the page again.</p>;
    return Part ? <Part {...props} /> : <p role="status">Loading…</p>;
  };
}
