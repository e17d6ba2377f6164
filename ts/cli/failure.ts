// What the command says when an input is not what it should be. Imports nothing.
// A Failure is one line: where, what was found, what was expected, and a hint where there is one.

/** A fault in a file or in the data it holds: printed as one line, exit code 1. */
export class Failure extends Error {
  constructor(where: string, what: string, hint?: string) {
    super(oneLine(`${where}: ${what}${hint === undefined ? "" : `; hint: ${hint}`}`));
    this.name = "Failure";
  }
}

/** The reason of a failed system call in words; the path is said by the caller. */
export function systemReason(cause: unknown): string {
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
  return reasons[code] ?? (cause instanceof Error ? cause.message : String(cause));
}

const reasons: Readonly<Record<string, string>> = {
  ENOENT: "no such file or directory",
  ENOTDIR: "a part of the path is not a directory",
  EACCES: "permission denied",
  EPERM: "operation not permitted",
  EISDIR: "is a directory",
  ENOSPC: "no space left on the device",
  EFBIG: "the file would be larger than allowed",
  EROFS: "the file system is read-only",
  EMFILE: "too many open files",
  ENAMETOOLONG: "the name is too long",
  ELOOP: "too many symbolic links",
};

/** Names of files may hold line breaks and control characters; a message holds none. */
export function oneLine(text: string): string {
  // The C0 and C1 control characters.
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`);
}
