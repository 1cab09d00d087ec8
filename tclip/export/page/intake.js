// From what a person drops or chooses to files with the paths that they have in their folder.

// Files of a drop, those of dropped folders included.
export async function dropped(transfer) {
  // both must be asked for before the first await: the browser then empties the list
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const files = [...transfer.files];
  if (!entries.length) return chosen(files);
  const found = [];
  for (const entry of entries) await walk(entry, found);
  return found;
}

// Files of an <input type="file">.
export function chosen(files) {
  return [...files].map((file) => ({ file, path: file.webkitRelativePath || file.name }));
}

async function walk(entry, found) {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    found.push({ file, path: entry.fullPath.replace(/^\//, "") });
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    // a reader gives a hundred entries at a time, and none at the end
    const entries = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!entries.length) return;
    for (const inner of entries) await walk(inner, found);
  }
}

// Whether to try a file: of a folder what the browser takes for a picture, of single files all.
export function mayBePicture({ file, path }) {
  return file.type.startsWith("image/") || !path.includes("/");
}
