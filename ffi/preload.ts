/**
 * Opens libc when it is imported: for programs that want its absence to be an error at start, and
 * for tests, whose resource sanitizer takes a library opened inside a test for a leak.
 *
 * @module
 */
import { libc } from "./libc.ts";

libc();
