/**
 * dma-bufs (include/uapi/linux/dma-buf.h), as their holder sees them.
 *
 * @module
 */
import type { Fd } from "../engine/fd.ts";
import type { DmaBufFacts } from "../engine/kernel.ts";
import { toCString } from "./c_string.ts";
import { closesOnExec } from "./descriptors.ts";
import { ERRNO, kernelError } from "./errno.ts";
import { readFdinfo } from "./fdinfo.ts";
import { identifyDescriptor } from "./file_identity.ts";
import { ioctl } from "./ioctl.ts";

/**
 * What fstat and fdinfo say of a dma-buf.
 *
 * @param dmaBuf the buffer
 * @throws {KernelError} EINVAL where it is no dma-buf
 */
export function dmaBufFacts(dmaBuf: Fd): DmaBufFacts {
  const { size, inode } = identifyDescriptor(dmaBuf);
  const fdinfo = parseDmaBufFdinfo(readFdinfo(dmaBuf));
  if (fdinfo === undefined) throw kernelError("fdinfo", -ERRNO.EINVAL, dmaBuf.what);
  return { size, inode, ...fdinfo, closeOnExec: closesOnExec(dmaBuf) };
}

/**
 * The lines of a dma-buf's fdinfo. Any holder chooses the name, line breaks included; it comes
 * last, so that the first line of each kind is the kernel's.
 *
 * @param text fdinfo
 * @returns absent where it is not a dma-buf's
 *
 * @example
 * ```ts
 * import { parseDmaBufFdinfo } from "./dma_buf.ts";
 *
 * const fdinfo = parseDmaBufFdinfo("size:\t8192\ncount:\t1\nexp_name:\tvfio_pci_core\n");
 * if (fdinfo?.references !== 1) throw new Error("nobody else holds it");
 * ```
 */
export function parseDmaBufFdinfo(
  text: string,
): Pick<DmaBufFacts, "references" | "exporter" | "name"> | undefined {
  const value = (key: string) => new RegExp(`^${key}:\t(.*)$`, "m").exec(text)?.[1];
  const [count, exporter, name] = [value("count"), value("exp_name"), value("name")];
  if (count === undefined || exporter === undefined) return undefined;
  return { references: Number(count), exporter, ...(name === undefined ? {} : { name }) };
}

/**
 * Names a dma-buf for people (`DMA_BUF_SET_NAME`).
 *
 * @param dmaBuf the buffer
 * @param name at most 31 bytes
 * @throws {KernelError} EINVAL where it is longer
 */
export function setDmaBufName(dmaBuf: Fd, name: string): void {
  ioctl(dmaBuf, "DMA_BUF_SET_NAME_B", toCString(name), "DMA_BUF_SET_NAME");
}
