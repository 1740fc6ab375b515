/**
 * Error numbers, and how one is read after a call that failed.
 *
 * Between the failing C call and the reading of `errno` the runtime may run code of its own on the
 * same thread (a deoptimisation, a collection), and that code may make system calls that fail. So
 * `errno` is read through a view that exists already, always, and in the very next statement. What
 * is left is a handful in a million under forced deoptimisation, and those read EAGAIN or EINTR:
 * hence {@linkcode reissued} for the calls that cannot mean it.
 *
 * @module
 */
import { KernelError } from "../engine/kernel_error.ts";

/** Linux error numbers (include/uapi/asm-generic/errno.h, which x86_64 and aarch64 both use). */
export const ERRNO = {
  EPERM: 1,
  ENOENT: 2,
  ESRCH: 3,
  EINTR: 4,
  EIO: 5,
  ENXIO: 6,
  E2BIG: 7,
  ENOEXEC: 8,
  EBADF: 9,
  ECHILD: 10,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EFAULT: 14,
  ENOTBLK: 15,
  EBUSY: 16,
  EEXIST: 17,
  EXDEV: 18,
  ENODEV: 19,
  ENOTDIR: 20,
  EISDIR: 21,
  EINVAL: 22,
  ENFILE: 23,
  EMFILE: 24,
  ENOTTY: 25,
  ETXTBSY: 26,
  EFBIG: 27,
  ENOSPC: 28,
  ESPIPE: 29,
  EROFS: 30,
  EMLINK: 31,
  EPIPE: 32,
  EDOM: 33,
  ERANGE: 34,
  EDEADLK: 35,
  ENAMETOOLONG: 36,
  ENOLCK: 37,
  ENOSYS: 38,
  ENOTEMPTY: 39,
  ELOOP: 40,
  ENOMSG: 42,
  EIDRM: 43,
  ECHRNG: 44,
  EL2NSYNC: 45,
  EL3HLT: 46,
  EL3RST: 47,
  ELNRNG: 48,
  EUNATCH: 49,
  ENOCSI: 50,
  EL2HLT: 51,
  EBADE: 52,
  EBADR: 53,
  EXFULL: 54,
  ENOANO: 55,
  EBADRQC: 56,
  EBADSLT: 57,
  EBFONT: 59,
  ENOSTR: 60,
  ENODATA: 61,
  ETIME: 62,
  ENOSR: 63,
  ENONET: 64,
  ENOPKG: 65,
  EREMOTE: 66,
  ENOLINK: 67,
  EADV: 68,
  ESRMNT: 69,
  ECOMM: 70,
  EPROTO: 71,
  EMULTIHOP: 72,
  EDOTDOT: 73,
  EBADMSG: 74,
  EOVERFLOW: 75,
  ENOTUNIQ: 76,
  EBADFD: 77,
  EREMCHG: 78,
  ELIBACC: 79,
  ELIBBAD: 80,
  ELIBSCN: 81,
  ELIBMAX: 82,
  ELIBEXEC: 83,
  EILSEQ: 84,
  ERESTART: 85,
  ESTRPIPE: 86,
  EUSERS: 87,
  ENOTSOCK: 88,
  EDESTADDRREQ: 89,
  EMSGSIZE: 90,
  EPROTOTYPE: 91,
  ENOPROTOOPT: 92,
  EPROTONOSUPPORT: 93,
  ESOCKTNOSUPPORT: 94,
  EOPNOTSUPP: 95,
  EPFNOSUPPORT: 96,
  EAFNOSUPPORT: 97,
  EADDRINUSE: 98,
  EADDRNOTAVAIL: 99,
  ENETDOWN: 100,
  ENETUNREACH: 101,
  ENETRESET: 102,
  ECONNABORTED: 103,
  ECONNRESET: 104,
  ENOBUFS: 105,
  EISCONN: 106,
  ENOTCONN: 107,
  ESHUTDOWN: 108,
  ETOOMANYREFS: 109,
  ETIMEDOUT: 110,
  ECONNREFUSED: 111,
  EHOSTDOWN: 112,
  EHOSTUNREACH: 113,
  EALREADY: 114,
  EINPROGRESS: 115,
  ESTALE: 116,
  EUCLEAN: 117,
  ENOTNAM: 118,
  ENAVAIL: 119,
  EISNAM: 120,
  EREMOTEIO: 121,
  EDQUOT: 122,
  ENOMEDIUM: 123,
  EMEDIUMTYPE: 124,
  ECANCELED: 125,
  ENOKEY: 126,
  EKEYEXPIRED: 127,
  EKEYREVOKED: 128,
  EKEYREJECTED: 129,
  EOWNERDEAD: 130,
  ENOTRECOVERABLE: 131,
  ERFKILL: 132,
  EHWPOISON: 133,
} as const;

const NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(ERRNO).map(([name, number]) => [number, name]),
);

/**
 * The name of an error number.
 *
 * @param errno positive number
 * @returns `EINVAL`; `E` and the number where Linux has no name for it
 *
 * @example
 * ```ts
 * import { errnoName } from "./errno.ts";
 *
 * if (errnoName(22) !== "EINVAL") throw new Error("22 is EINVAL on Linux");
 * ```
 */
export function errnoName(errno: number): string {
  return NAMES.get(errno) ?? `E${errno}`;
}

/** A C function as `Deno.dlopen` gives it. */
export type RawCall = (...args: unknown[]) => unknown;

/**
 * Wraps a C function so that it answers `-errno` where C answers -1 and sets `errno`. One branch
 * per arity, for a spread in the call would cost more than the call.
 *
 * @param call the function
 * @param arity how many arguments it takes, at most 6
 * @param errno view of this thread's `errno`
 * @returns the wrapped function: the result, or the negative error number
 */
export function withErrno(call: RawCall, arity: number, errno: Int32Array): RawCall {
  const wrap = WRAPPERS[arity];
  if (wrap === undefined) throw new RangeError(`Cannot wrap a call of ${arity} arguments`);
  return wrap(call, errno);
}

type Wrap = (call: RawCall, errno: Int32Array) => RawCall;

const WRAPPERS: readonly Wrap[] = [
  (call, errno) => () => {
    const result = call();
    const error = errno[0] ?? 0;
    return result === -1 ? -error : result;
  },
  (call, errno) => (a) => {
    const result = call(a);
    const error = errno[0] ?? 0;
    return result === -1 ? -error : result;
  },
  (call, errno) => (a, b) => {
    const result = call(a, b);
    const error = errno[0] ?? 0;
    return result === -1 ? -error : result;
  },
  (call, errno) => (a, b, c) => {
    const result = call(a, b, c);
    const error = errno[0] ?? 0;
    return result === -1 ? -error : result;
  },
  (call, errno) => (a, b, c, d) => {
    const result = call(a, b, c, d);
    const error = errno[0] ?? 0;
    return result === -1 ? -error : result;
  },
  (call, errno) => (a, b, c, d, e) => {
    const result = call(a, b, c, d, e);
    const error = errno[0] ?? 0;
    return result === -1 ? -error : result;
  },
  (call, errno) => (a, b, c, d, e, f) => {
    const result = call(a, b, c, d, e, f);
    const error = errno[0] ?? 0;
    return result === -1 ? -error : result;
  },
];

/** How often a call that says EAGAIN or EINTR is made again before it is believed. */
const REISSUES = 8;

/**
 * Makes a call again while it answers EAGAIN or EINTR: for calls that cannot mean it, or that may
 * as well be made again at once. A call that failed did nothing, so that making it again is safe;
 * `close` is the exception and must not come here.
 *
 * @param call the call, answering `-errno` when it fails
 * @returns its last answer
 */
export function reissued(call: () => number): number {
  return reissuedAfter(call(), call);
}

/**
 * The same for who has made the call once: on the hot path nothing is made for a second one.
 *
 * @param first what the call answered
 * @param call makes it again
 */
export function reissuedAfter(first: number, call: () => number): number {
  let result = first;
  for (let left = REISSUES; left > 0 && isTransient(result); left--) result = call();
  return result;
}

function isTransient(result: number): boolean {
  return result === -ERRNO.EAGAIN || result === -ERRNO.EINTR;
}

/**
 * The error of a call that answered `-errno`.
 *
 * @param call the call by its own name
 * @param result what it answered, negative
 * @param subject what it was called on
 */
export function kernelError(call: string, result: number, subject: string): KernelError {
  return new KernelError(call, -result, errnoName(-result), subject);
}

/**
 * Passes a result on, and throws where it is a negative error number.
 *
 * @param call the call by its own name, for the error
 * @param subject what it was called on, for the error
 * @param result what it answered
 * @returns the result
 * @throws {KernelError} if it is negative
 */
export function checked(call: string, subject: string, result: number): number {
  if (result < 0) throw kernelError(call, result, subject);
  return result;
}
