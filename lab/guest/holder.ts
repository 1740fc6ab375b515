/**
 * Holds a file open and prints its descriptor: with `guarded` as Bargate holds devices, not dumpable.
 *
 * @module
 */
import { openPath } from "../../ffi/descriptors.ts";
import { makeNonDumpable } from "../../ffi/process.ts";

const O_RDWR = 2;

if (Deno.args[0] === "guarded") makeNonDumpable();
const fd = openPath("/dev/null", O_RDWR);
console.log(fd.number);
// Until it is killed.
await new Promise(() => setInterval(() => fd.number, 60_000));
