/**
 * A fence on a dma-buf, signalled by hand (drivers/dma-buf/sw_sync.c, a debugging aid without a header
 * for programs): a revoke of the buffer waits for it, as for an importer that does not let go.
 *
 * @module
 */
import { Fd } from "../../engine/fd.ts";
import type { Kernel, Lane } from "../../engine/kernel.ts";
import { checked } from "../../ffi/errno.ts";
import { libc } from "../../ffi/libc.ts";

const SW_SYNC = "/sys/kernel/debug/sync/sw_sync";
/** `_IOWR('W', 0, struct sw_sync_create_fence_data)`: u32 value, char name[32], s32 fence. */
const CREATE_FENCE = 0xc028_5700;
const FENCE_BYTES = 40;
const FENCE_FD = 36;
/** `_IOW('b', 3, struct dma_buf_import_sync_file)`: u32 flags, s32 fd. */
const IMPORT_SYNC_FILE = 0x4008_6203;
const READ_AND_WRITE = 3;

/**
 * Puts a fence on a buffer.
 *
 * @param kernel closes what is opened
 * @param lane opens the timeline
 * @param buffer of the process's own table
 * @returns signals the fence
 */
export async function holdBuffer(kernel: Kernel, lane: Lane, buffer: Fd): Promise<() => void> {
  const timeline = await lane.openShared(SW_SYNC);
  const create = new DataView(new ArrayBuffer(FENCE_BYTES));
  create.setUint32(0, 1, true);
  ioctl(timeline, CREATE_FENCE, create);
  const fence = new Fd(create.getInt32(FENCE_FD, true), "fence");
  const give = new DataView(new ArrayBuffer(8));
  give.setUint32(0, READ_AND_WRITE, true);
  give.setInt32(4, fence.number, true);
  ioctl(buffer, IMPORT_SYNC_FILE, give);
  kernel.close(fence);
  // Fences of a timeline that goes are signalled.
  return () => kernel.close(timeline);
}

function ioctl(fd: Fd, request: number, argument: DataView<ArrayBuffer>): void {
  const { ioctl } = libc();
  checked("ioctl", fd.what, ioctl(fd.number, request, argument));
}
