/** What conformance needs of a kernel: the port alone, so that the real one and `SimKernel` serve. @module */
import type { Fd } from "../../engine/fd.ts";
import type { Kernel, Lane } from "../../engine/kernel.ts";
import { KernelError } from "../../engine/kernel_error.ts";

/** Bytes. */
const PAGE = 4096n;

/** A kernel, and a lane of it. */
export interface Port {
  readonly kernel: Kernel;
  readonly lane: Lane;
}

/** A port with a device open. */
export interface OpenDevice extends Port {
  readonly device: Fd;
}

/** @returns name of the errno, or `done` */
export async function answerOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return "done";
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    return error.errnoName;
  }
}

/** Exports the first page of BAR 0. @returns the buffer, which is the caller's */
export function exportPage({ lane, device }: OpenDevice): Promise<Fd> {
  return lane.exportDmaBuf(device, 0, [{ offset: 0n, length: PAGE }]);
}

/** Whether a buffer can be imported now. */
export async function isLive({ kernel, lane }: Port, dmaBuf: Fd): Promise<boolean> {
  const iommufd = kernel.openIommufd();
  const ioas = await lane.ioasAlloc(iommufd);
  const request = { iommufd, ioas, dmaBuf, start: 0n, length: PAGE, writeable: true };
  const answer = await answerOf(lane.ioasMapFile(request));
  await lane.close(iommufd);
  if (answer !== "done" && answer !== "ENODEV") throw new Error(`MAP_FILE answered ${answer}`);
  return answer === "done";
}
