/**
 * Calls that fail, each with an error of its own, in rotation: a number that belongs to another
 * call, or to the runtime, shows at once. Run as a program it takes the count and prints what was
 * wrong.
 *
 * @module
 */
import { ERRNO, errnoName, reissued } from "../../ffi/errno.ts";
import { C } from "../../ffi/layouts.ts";
import { libc } from "../../ffi/libc.ts";

/** `FIONREAD`: what a descriptor that is none cannot answer. */
const FIONREAD = 0x541b;

/** @returns a line for each call that answered another error than its own */
export function stress(count: number): string[] {
  const c = libc();
  const memory = new Uint8Array(new ArrayBuffer(8));
  const absent = new TextEncoder().encode("/nonexistent\0");
  const calls: readonly (readonly [number, () => number])[] = [
    [ERRNO.EBADF, () => c.ioctl(-1, FIONREAD, memory)],
    [ERRNO.ENOENT, () => c.access(absent, C.F_OK)],
    [ERRNO.EINVAL, () => c.epoll_create1(-1)],
    [ERRNO.EFAULT, () => c.uname(null)],
  ];
  const wrong: string[] = [];
  for (let index = 0; index < count; index++) {
    const [errno, call] = calls[index % calls.length] ?? [0, () => 0];
    const result = reissued(call);
    if (result !== -errno) wrong.push(`${index}: ${errnoName(-result)} for ${errnoName(errno)}`);
  }
  return wrong;
}

if (import.meta.main) console.log(JSON.stringify(stress(Number(Deno.args[0]))));
