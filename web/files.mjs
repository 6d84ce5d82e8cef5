/** Picture files out of what a person drops, pastes or chooses. */

const PICTURE = /\.(jpe?g|png|webp|gif|bmp|avif)$/i;

/** What systems put beside pictures. */
const HIDDEN = /(^|\/)(\.|__MACOSX\/)/;

/**
 * Whether a file of a folder looks like a picture by its name or type.
 *
 * @param {File} file
 */
export function isPicture(file) {
  if (HIDDEN.test(file.webkitRelativePath || file.name)) return false;
  return file.type.startsWith("image/") || PICTURE.test(file.name);
}

/**
 * All files of a drop or paste; of dropped folders those that look like pictures.
 *
 * @param {DataTransfer} transfer
 */
export async function filesOf(transfer) {
  // Entries must be taken before the first await: the list is emptied after the event.
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.());
  if (!entries.some((entry) => entry?.isDirectory)) return [...transfer.files];
  /** @type {File[]} */
  const found = [];
  for (const entry of entries) if (entry) await walk(entry, found, entry.isFile);
  return found;
}

/**
 * Collects the files of an entry, and of the folders inside it.
 *
 * @param {FileSystemEntry} entry
 * @param {File[]} found - they are added to
 * @param {boolean} named - a person named this very file, whatever it looks like
 */
async function walk(entry, found, named) {
  if (entry.isFile) {
    const one = /** @type {FileSystemFileEntry} */ (entry);
    const file = await /** @type {Promise<File>} */ (
      new Promise((resolve, reject) => one.file(resolve, reject))
    );
    if (named || isPicture(file)) found.push(file);
    return;
  }
  if (HIDDEN.test(`${entry.name}/`)) return;
  const reader = /** @type {FileSystemDirectoryEntry} */ (entry).createReader();
  for (;;) {
    const part = await /** @type {Promise<FileSystemEntry[]>} */ (
      new Promise((resolve, reject) => reader.readEntries(resolve, reject))
    );
    if (!part.length) return;
    for (const inside of part) await walk(inside, found, false);
  }
}
