// What can be said of files before they are sent. The backend has the last word; docs/captures.md says what it takes.
import type { Amount } from './estimate';

const video: Record<string, string> = { mp4: 'video/mp4', m4v: 'video/mp4', mov: 'video/quicktime', webm: 'video/webm', mkv: 'video/x-matroska', avi: '', ts: '', mts: '' };
const photo: Record<string, string> = { jpg: 'image/jpeg', jpeg: 'image/jpeg', png: 'image/png', webp: 'image/webp', heic: 'image/heic', heif: 'image/heic' };
const accepted = [...Object.keys(video), ...Object.keys(photo), 'zip'];

const extension = (name: string) => /\.([^.]+)$/.exec(name)?.[1]?.toLowerCase() ?? '';
export const isPhoto = (f: { name: string }) => extension(f.name) in photo;
export const isVideo = (f: { name: string }) => extension(f.name) in video;
export const contentType = (f: { name: string }) => {
  const e = extension(f.name);
  return e === 'zip' ? 'application/zip' : video[e] || photo[e] || 'application/octet-stream';
};

export type Check = { problem?: string; hints: string[]; amount?: Amount };

const mostBytes = 10 * 2 ** 30;

// check looks at names and sizes.
export function check(files: File[]): Check {
  const hints: string[] = [];
  const strange = files.find(f => !accepted.includes(extension(f.name)));
  if (strange) return { problem: `${strange.name} is no video, photo or zip that can be used. Send MP4, MOV, WebM, JPEG, PNG, WebP, HEIC or a zip of photos.`, hints };
  const empty = files.find(f => f.size === 0);
  if (empty) return { problem: `${empty.name} is empty.`, hints };
  if (files.some(f => extension(f.name) === 'zip') && files.length > 1) return { problem: 'A zip is sent alone: choose the zip, or the photos.', hints };
  if (new Set(files.map(f => f.name)).size < files.length) return { problem: 'Two files have the same name. Put them into one zip, or rename one.', hints };
  if (files.length > 2000) return { problem: 'That is more than 2000 files.', hints };
  if (files.reduce((n, f) => n + f.size, 0) > mostBytes) return { problem: 'That is more than 10 GB. Send a shorter video, or fewer photos.', hints };
  const photos = files.filter(isPhoto).length;
  if (photos === files.length && photos > 0 && photos < 3) return { problem: 'At least three photos are needed; twenty or more make a place.', hints };
  if (photos === files.length && photos > 0 && photos < 20) hints.push('Twenty photos or more, each overlapping the last, give a better result.');
  return { hints, amount: photos === files.length && photos > 0 ? { images: photos } : undefined };
}

// checkVideo reads length and size of a video, where the browser can play its format.
export function checkVideo(file: File): Promise<Check> {
  return new Promise(resolve => {
    const v = document.createElement('video');
    const url = URL.createObjectURL(file);
    const done = (c: Check) => {
      clearTimeout(timer);
      v.removeAttribute('src');
      URL.revokeObjectURL(url);
      resolve(c);
    };
    const timer = setTimeout(() => done({ hints: [] }), 5000);
    v.muted = true;
    v.preload = 'metadata';
    v.onerror = () => done({ hints: [] });
    v.onloadedmetadata = () => {
      const hints: string[] = [];
      if (v.duration < 1) return done({ problem: 'The video is shorter than a second.', hints });
      if (v.duration > 1200 && Number.isFinite(v.duration)) return done({ problem: 'The video is longer than 20 minutes. Cut it, or film again: one or two minutes are plenty.', hints });
      if (v.duration < 10) hints.push('The video is short. Half a minute to two minutes, walking slowly, gives a better result.');
      if (Math.max(v.videoWidth, v.videoHeight) < 640) hints.push(`The picture is small (${v.videoWidth} by ${v.videoHeight}). Film at 1080p or more for detail.`);
      done({ hints, amount: Number.isFinite(v.duration) ? { video_s: v.duration } : undefined });
    };
    v.src = url;
  });
}
