// What the page itself makes, kept as a file.

// fileName is a title as the name of a file, without its suffix.
export const fileName = (title: string) => title.replace(/[^\p{L}\p{N} ._-]+/gu, '_').replace(/^[ .]+/, '').slice(0, 80).trim() || 'view';

export function save(content: Blob, name: string) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000); // the browser has begun by then
}
