// Numbers, times and states in words.
import type { Capture } from './captures';

export function bytes(n: number): string {
  if (n < 1e3) return `${n} bytes`;
  if (n < 1e6) return `${Math.round(n / 1e3)} kB`;
  if (n < 1e9) return `${(n / 1e6).toFixed(n < 1e7 ? 1 : 0)} MB`;
  return `${(n / 1e9).toFixed(1)} GB`;
}

// left is coarse: people plan by it.
export function left(s: number): string {
  if (!(s >= 0)) return '';
  if (s < 10) return 'a few seconds left';
  if (s < 60) return `about ${Math.ceil(s / 10) * 10} seconds left`;
  if (s < 90) return 'about a minute left';
  if (s < 5400) return `about ${Math.round(s / 60)} minutes left`;
  return `about ${Math.round(s / 3600)} hours left`;
}

export function duration(s: number): string {
  if (s < 60) return `${s < 10 ? s.toFixed(1) : Math.round(s)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${Math.round(s % 60)} s`;
  return `${Math.floor(s / 3600)} h ${Math.round((s % 3600) / 60)} min`;
}

export const day = (iso: string) => new Date(iso).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'short' });
export const count = (n: number) => n.toLocaleString();
export const plural = (n: number, one: string, many = one + 's') => `${count(n)} ${n === 1 ? one : many}`;

export function word(c: Capture): string {
  if (!c.uploaded) return 'Upload not finished';
  switch (c.status) {
    case 'COMPLETED': return 'Ready';
    case 'FAILED': return 'Failed';
    case 'CANCELED': return 'Canceled';
    case 'GONE': return 'Forgotten by the server';
  }
  return c.percent ? `${Math.round(c.percent)} %` : 'Waiting';
}

// accept is for the chooser of files; files.ts has the last word on this side.
export const accept = 'video/*,image/*,.mkv,.avi,.mts,.ts,.heic,.heif,.zip';
