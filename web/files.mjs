/** Picture files out of what a person drops, pastes or chooses. */

const PICTURE = /\.(jpe?g|png|webp|gif|bmp|avif)$/i;

/** Whether a file of a folder looks like a picture by its name or type. */
export function isPicture(file) {
  return file.type.startsWith("image/") || PICTURE.test(file.name);
}

/** All files of a drop or paste; of dropped folders those that look like pictures. */
export async function filesOf(transfer) {
  // Entries must be taken before the first await: the list is emptied after the event.
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.());
  if (!entries.some((entry) => entry?.isDirectory)) return [...transfer.files];
  const found = [];
  for (const entry of entries) if (entry) await walk(entry, found, entry.isFile);
  return found;
}

async function walk(entry, found, named) {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    if (named || isPicture(file)) found.push(file);
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    const part = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!part.length) return;
    for (const inside of part) await walk(inside, found, false);
  }
}
