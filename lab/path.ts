/** The few path functions that the laboratory uses, from one place. @module */
export { basename, dirname, join, relative } from "node:path/posix";
export { fileURLToPath as fromFileUrl, pathToFileURL as toFileUrl } from "node:url";
