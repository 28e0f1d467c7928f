// Levels of detail, for a splat that is too large to be loaded whole: splat.lod.zip holds a streamed SOG, of which the viewer asks for
// the folders that a view needs. Files in the zip are stored as they are, so a folder is a range of its bytes and nothing else is fetched.
import type { AppBase, Asset, ResourceHandler } from 'playcanvas';

type Entry = { name: string; at: number; end: number; size: number }; // of the zip: where its header begins, and the next entry
type ResourceParser = ResourceHandler['parsers'][number];

export type Levels = {
  meta: string; // address of lod-meta.json, in which folders have addresses of their own
  serve: (app: AppBase) => void; // lets the engine load folders by those addresses
  renew: (url: string) => void; // a newer link to the zip: one lives a quarter of an hour
};

export const isLevels = (file: { file_name: string }) => file.file_name.endsWith('.lod.zip');

// A scheme that nothing else has.
const scheme = 'levels://';

// drawable is how many millions of Gaussians are drawn at once: a quarter for each GiB of memory on a phone and at most one, twice as
// many on a desktop and at most four. Browsers that do not say their memory are taken for such as have enough.
export function drawable(): number {
  const { deviceMemory } = navigator as { deviceMemory?: number };
  return matchMedia('(pointer: coarse)').matches ? Math.min(1, (deviceMemory ?? 4) / 4) : Math.min(4, (deviceMemory ?? 8) / 2);
}

// openLevels reads what the zip holds.
export async function openLevels(url: string, size: number): Promise<Levels> {
  const link = latest(url);
  const read = (from: number, to: number) => part(link.now(), from, to);
  const entries = await directory(read, size);
  const first = entries.find(e => e.name === 'lod-meta.json');
  if (!first) throw new Error('the file has no levels');
  const meta = JSON.parse(await content(await read(first.at, first.end), first.at, first).text());
  meta.filenames = meta.filenames.map((name: string) => scheme + name);
  const folder = (name: string) => unpack(read, entries.filter(e => e.name.startsWith(name + '/')), name.length + 1);
  return {
    meta: `data:application/json,${encodeURIComponent(JSON.stringify(meta))}`,
    serve: app => {
      const handler = app.loader.getHandler('gsplat')!;
      const sog = handler.parsers.find(p => p.canParse({ url: 'meta.json', ext: 'json', basename: 'meta.json', asset: undefined, app }))!;
      handler.addParser(loads(folder, sog, link));
    },
    renew: link.set,
  };
}

// latest keeps the newest link, and who waits for it.
function latest(url: string) {
  let waiting: (() => void)[] = [];
  return {
    now: () => url,
    set: (to: string) => {
      if (to === url) return;
      url = to;
      waiting.forEach(go => go());
      waiting = [];
    },
    newer: (than: string) => new Promise<void>(go => (than === url ? waiting.push(go) : go())),
  };
}

type Link = ReturnType<typeof latest>;
type Read = (from: number, to: number) => Promise<ArrayBuffer>;

class Expired extends Error {}

// part reads bytes of a file, from one place to before another.
async function part(url: string, from: number, to: number): Promise<ArrayBuffer> {
  const answer = await fetch(url, { headers: { Range: `bytes=${from}-${to - 1}` } });
  if (answer.status === 206) return answer.arrayBuffer();
  await answer.body?.cancel(); // all of it would come
  const why = `the levels do not come (${answer.status})`;
  throw answer.status === 400 || answer.status === 403 ? new Expired(why) : new Error(why);
}

// directory lists a zip without a comment. Source: PKWARE's APPNOTE 6.3.10, 4.3.12 and 4.3.16.
async function directory(read: Read, size: number): Promise<Entry[]> {
  const tail = Math.max(0, size - (1 << 16)), last = await read(tail, size);
  if (last.byteLength < 22) throw new Error('the file is no zip');
  const end = new DataView(last, last.byteLength - 22);
  const count = end.getUint16(10, true), length = end.getUint32(12, true), from = end.getUint32(16, true);
  if (end.getUint32(0, true) !== 0x06054b50 || from + length > size) throw new Error('the file is no zip that is read here');
  const list = new DataView(from >= tail ? last.slice(from - tail) : await read(from, from + length));
  const entries: Entry[] = [];
  for (let i = 0, at = 0; i < count; i++) {
    const named = list.getUint16(at + 28, true);
    if (list.getUint16(at + 10, true) !== 0) throw new Error('the levels are compressed');
    const name = new TextDecoder().decode(new Uint8Array(list.buffer, at + 46, named));
    entries.push({ name, at: list.getUint32(at + 42, true), end: from, size: list.getUint32(at + 20, true) });
    at += 46 + named + list.getUint16(at + 30, true) + list.getUint16(at + 32, true);
  }
  entries.sort((a, b) => a.at - b.at).forEach((e, i) => { e.end = entries[i + 1]?.at ?? from; });
  return entries;
}

// content is a file in bytes of the zip that begin at a place. Its header there is as long as it says itself (APPNOTE, 4.3.7).
function content(bytes: ArrayBuffer, from: number, e: Entry): Blob {
  const header = new DataView(bytes, e.at - from), begin = e.at - from + 30 + header.getUint16(26, true) + header.getUint16(28, true);
  return new Blob([bytes.slice(begin, begin + e.size)]);
}

// unpack reads the files of a folder, which are one after another, at once.
async function unpack(read: Read, entries: Entry[], prefix: number): Promise<Map<string, Blob>> {
  if (!entries.length) throw new Error('the levels lack a folder');
  const from = entries[0]!.at, bytes = await read(from, entries.at(-1)!.end);
  return new Map(entries.map(e => [e.name.slice(prefix), content(bytes, from, e)]));
}

// loads is the engine's way from an address of ours to the Gaussians of a folder, which its own parser of SOG makes.
function loads(folder: (name: string) => Promise<Map<string, Blob>>, sog: ResourceParser, link: Link): ResourceParser {
  const fetched = (name: string) => {
    const used = link.now();
    return folder(name).catch(async e => {
      if (!(e instanceof Expired)) throw e;
      await link.newer(used);
      return folder(name);
    });
  };
  return {
    canParse: c => !!c.url?.startsWith(scheme),
    load: async (url, done, asset) => {
      const held: string[] = [];
      const over = (...answer: Parameters<typeof done>) => {
        held.forEach(URL.revokeObjectURL);
        done(...answer);
      };
      try {
        const address = typeof url === 'string' ? url : url.load;
        const files = await fetched(address.slice(scheme.length).replace(/\/meta\.json$/, ''));
        const of = asset as Asset & { options: object };
        of.data = JSON.parse(await files.get('meta.json')!.text());
        of.options = { mapUrl: (name: string) => {
          held.push(URL.createObjectURL(files.get(name)!));
          return held.at(-1);
        } };
        sog.load(url, over, asset);
      } catch (e) {
        over(String(e));
      }
    },
  };
}
