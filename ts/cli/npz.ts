// Arrays in .npz archives, as np.savez and np.savez_compressed write them. The archive itself is yauzl's to read.
// A stored array is read where it lies; a compressed one is first written to a temporary file that has no name and goes with its handle.

import { mkdtemp, open, rm, type FileHandle } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openPromise, type Entry, type ZipFile } from "yauzl";
import { Failure, systemReason } from "./failure.js";

/** The bytes of an array, ready to be read. */
export interface Member {
  readonly handle: FileHandle;
  /** Where they begin, and how many they are. */
  readonly start: number;
  readonly size: number;
  /** What messages call it. */
  readonly path: string;
}

/** Splits `data.npz:logits` into the archive and the array's name. */
export function splitPath(path: string): { readonly file: string; readonly name: string | undefined } {
  const at = path.toLowerCase().lastIndexOf(".npz:");
  return at < 0 ? { file: path, name: undefined } : { file: path.slice(0, at + 4), name: path.slice(at + 5) };
}

/** Opens an array of an archive: the one that is named, the only one there is, or the one that is called as `role` is. */
export async function openMember(file: string, name: string | undefined, role: string): Promise<Member> {
  let zip: ZipFile | undefined;
  try {
    zip = await openPromise(file, { autoClose: false });
    const entries: Entry[] = [];
    for await (const entry of zip.eachEntry()) entries.push(entry);
    const entry = choose(file, entries, name, role);
    const path = `${file}:${arrayName(entry)}`;
    if (!entry.canDecodeFileData()) throw new Failure(path, "is encrypted or compressed in a way that is not deflate, expected an array as np.savez_compressed writes it");
    if (entry.isCompressed()) return { handle: await inflated(zip, entry), start: 0, size: entry.uncompressedSize, path };
    const { fileDataStart } = await zip.readLocalFileHeaderPromise(entry, { minimal: true });
    return { handle: await open(file, "r"), start: fileDataStart, size: entry.uncompressedSize, path };
  } catch (error) {
    throw error instanceof Failure ? error : new Failure(file, `cannot be read as an .npz archive: ${systemReason(error)}`);
  } finally {
    zip?.close();
  }
}

function choose(file: string, entries: readonly Entry[], name: string | undefined, role: string): Entry {
  const arrays = entries.filter(({ fileName }) => fileName.endsWith(".npy"));
  if (arrays.length === 0) {
    const isTorch = entries.some(({ fileName }) => fileName.endsWith("/data.pkl"));
    throw new Failure(file, `holds no .npy array${isTorch ? ", but a PyTorch file" : ""}, expected an .npz archive`, isTorch ? torchHint : undefined);
  }
  const wanted = name ?? role;
  const entry = arrays.find((each) => arrayName(each) === wanted) ?? (name === undefined && arrays.length === 1 ? arrays[0] : undefined);
  if (entry !== undefined) return entry;
  const names = arrays.map(arrayName);
  const list = names.slice(0, 8).join(", ") + (names.length > 8 ? `, … ${names.length} in all` : "");
  throw new Failure(file, name === undefined ? `has several arrays (${list}), expected the name of one` : `has no array ${name}, expected one of ${list}`, `${file}:${names[0]}`);
}

/** What to do with a file of PyTorch's. */
export const torchHint = 'np.save("logits.npy", torch.load("logits.pt").float().numpy())';

function arrayName({ fileName }: Entry): string {
  return fileName.slice(0, -".npy".length);
}

async function inflated(zip: ZipFile, entry: Entry): Promise<FileHandle> {
  const folder = await mkdtemp(join(tmpdir(), "sparse-xent-"));
  const handle = await open(join(folder, "array.npy"), "wx+");
  try {
    await rm(folder, { recursive: true, force: true });
    for await (const piece of await zip.openReadStreamPromise(entry)) await handle.writeFile(piece as Buffer);
    return handle;
  } catch (error) {
    await handle.close();
    throw error;
  }
}
