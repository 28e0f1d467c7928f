// What a capture will take, before it is begun: nothing is shown where that cannot be said.
import { useEffect, useState } from 'preact/hooks';
import { type Options, post } from './api';
import { plural } from './format';

type Interval = { low: number; likely: number; high: number };
type Answer = { seconds: Interval; cost_usd?: Interval; based_on: { requests: number } };
// What is known of a capture before anybody has looked into it.
export type Amount = { images?: number; video_s?: number };

export function Estimate({ amount, options, apiKey }: { amount?: Amount; options: Options; apiKey: string }) {
  const [found, set] = useState<Answer>();
  const ask = amount && JSON.stringify({ ...amount, options });
  useEffect(() => {
    let gone = false;
    if (!ask) return set(undefined);
    const timer = setTimeout(() => { // who tries the choices asks once
      post<Answer>('/estimate', JSON.parse(ask), undefined, apiKey ? { 'X-Api-Key': apiKey } : {}).then(a => gone || set(a), () => gone || set(undefined));
    }, 300);
    return () => {
      gone = true;
      clearTimeout(timer);
    };
  }, [ask, apiKey]);
  if (!found) return null;
  const { seconds: s, cost_usd: usd, based_on: { requests } } = found;
  return (
    <div class="note estimate" role="status">
      <p><strong>{`About ${time(s.likely)} after the upload${usd ? `, for ${money(usd.likely)} USD` : ''}.`}</strong></p>
      <p>{`Four of five captures like this take between ${range(s)}${usd ? ` and cost between ${money(usd.low)} and ${money(usd.high)} USD` : ''}. `}
        {requests ? `Learned from ${plural(requests, 'capture')} that finished here.` : 'A rough guess: nothing has finished here yet to learn from.'}{' Waiting in line comes on top.'}</p>
    </div>
  );
}

function inUnit(s: number): [number, string] {
  if (s < 90) return [Math.max(10, Math.round(s / 10) * 10), 'seconds'];
  if (s < 5400) return [Math.round(s / 60), 'minutes'];
  return [Math.round(s / 360) / 10, 'hours'];
}

const time = (s: number) => inUnit(s).join(' ');

function range({ low, high }: Interval): string {
  const [a, unit] = inUnit(low), [b, other] = inUnit(high);
  return unit === other ? `${a} and ${b} ${unit}` : `${a} ${unit} and ${b} ${other}`;
}

const money = (usd: number) => (usd < 0.01 ? 'less than 0.01' : usd.toFixed(2));
