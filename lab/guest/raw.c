/*
 * Raw calls that Bargate's kernel port does not offer, one a run: prints the name of the errno, or
 * "done". Shares no code with Bargate.
 *
 *   raw NODE ROW     NODE: the character device of a function with memory in BAR 2
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/dma-buf.h>
#include <linux/iommufd.h>
#include <linux/udmabuf.h>
#include <linux/vfio.h>

#define PAGE 4096
#define UNREADABLE ((void *)16)

struct export {
	struct vfio_device_feature feature;
	struct vfio_device_feature_dma_buf dma_buf;
	struct vfio_region_dma_range range;
};

static const char *node;
static int device = -1, iommufd = -1;
static uint32_t ioas;

static int answer(long result)
{
	puts(result < 0 ? strerrorname_np(errno) : "done");
	return 0;
}

static int answer_is(int yes)
{
	puts(yes ? "yes" : "no");
	return 0;
}

static int fail(const char *what)
{
	perror(what);
	return 1;
}

static int open_device(void)
{
	struct vfio_device_bind_iommufd bind = { .argsz = sizeof(bind) };
	struct iommu_ioas_alloc alloc = { .size = sizeof(alloc) };

	iommufd = open("/dev/iommu", O_RDWR | O_CLOEXEC);
	device = open(node, O_RDWR | O_CLOEXEC);
	bind.iommufd = iommufd;
	if (iommufd < 0 || device < 0 || ioctl(device, VFIO_DEVICE_BIND_IOMMUFD, &bind) ||
	    ioctl(iommufd, IOMMU_IOAS_ALLOC, &alloc))
		return -1;
	ioas = alloc.out_ioas_id;
	return 0;
}

static struct export good(void)
{
	struct export argument = {
		.feature = {
			.argsz = sizeof(argument),
			.flags = VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_DMA_BUF,
		},
		.dma_buf = { .region_index = 2, .open_flags = O_CLOEXEC, .nr_ranges = 1 },
		.range = { .offset = PAGE, .length = 2 * PAGE },
	};
	return argument;
}

static int export_with(struct export argument)
{
	return ioctl(device, VFIO_DEVICE_FEATURE, &argument);
}

static int feature_flags(uint32_t flags)
{
	struct export argument = good();

	argument.feature.flags = flags | VFIO_DEVICE_FEATURE_DMA_BUF;
	return answer(export_with(argument));
}

static int feature_argsz(uint32_t argsz)
{
	struct export argument = good();

	argument.feature.argsz = argsz;
	return answer(export_with(argument));
}

static int feature_open_flags(uint32_t flags)
{
	struct export argument = good();

	argument.dma_buf.open_flags = flags;
	return export_with(argument);
}

static int feature_nr_ranges(uint32_t count)
{
	struct export argument = good();

	argument.dma_buf.nr_ranges = count;
	return answer(export_with(argument));
}

/* The argument ends where the next page cannot be read. */
static int feature_at_end(size_t readable)
{
	struct export argument = good();
	char *page = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	munmap(page + PAGE, PAGE);
	memcpy(page + PAGE - readable, &argument, readable);
	return answer(ioctl(device, VFIO_DEVICE_FEATURE, page + PAGE - readable));
}

static int bind_with(uint32_t argsz, uint32_t flags, int32_t fd, int tail)
{
	struct {
		struct vfio_device_bind_iommufd bind;
		uint64_t tail;
	} argument = { .bind = { .argsz = argsz, .flags = flags, .iommufd = fd }, .tail = tail };
	int other = open(node, O_RDWR | O_CLOEXEC);

	close(device);
	return answer(ioctl(other, VFIO_DEVICE_BIND_IOMMUFD, &argument));
}

static int map_with(uint32_t size, uint32_t flags, int32_t fd, uint64_t tail)
{
	struct {
		struct iommu_ioas_map_file map;
		uint64_t tail;
	} argument = {
		.map = { .size = size, .flags = flags, .ioas_id = ioas, .fd = fd, .length = PAGE },
		.tail = tail,
	};

	return answer(ioctl(iommufd, IOMMU_IOAS_MAP_FILE, &argument));
}

static int udmabuf(void)
{
	int memory = memfd_create("raw", MFD_ALLOW_SEALING);
	struct udmabuf_create create = { .memfd = memory, .flags = UDMABUF_FLAGS_CLOEXEC, .size = PAGE };

	if (memory < 0 || ftruncate(memory, PAGE) || fcntl(memory, F_ADD_SEALS, F_SEAL_SHRINK))
		return -1;
	return ioctl(open("/dev/udmabuf", O_RDWR | O_CLOEXEC), UDMABUF_CREATE, &create);
}

static int irqs(uint32_t argsz, uint32_t flags, uint32_t index, uint32_t count)
{
	struct {
		struct vfio_irq_set set;
		int32_t fd;
	} argument = {
		.set = { .argsz = argsz, .flags = flags, .index = index, .count = count },
		.fd = eventfd(0, 0),
	};

	return answer(ioctl(device, VFIO_DEVICE_SET_IRQS, &argument));
}

static int sync_with(int buffer, uint64_t flags)
{
	struct dma_buf_sync sync = { .flags = flags };

	return answer(ioctl(buffer, DMA_BUF_IOCTL_SYNC, &sync));
}

static int run(const char *row)
{
#define ROW(name) if (!strcmp(row, name))
	const uint32_t get = VFIO_DEVICE_FEATURE_GET, set = VFIO_DEVICE_FEATURE_SET;
	const uint32_t probe = VFIO_DEVICE_FEATURE_PROBE;
	const uint32_t eventfd_trigger = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
	char byte = 0;
	int buffer;

	ROW("feature-argsz-7") return feature_argsz(7);
	ROW("feature-argsz-23") return feature_argsz(23);
	ROW("feature-argsz-24") return feature_argsz(24);
	ROW("feature-unknown-flag") return feature_flags(get | 0x80000);
	ROW("feature-get-and-set") return feature_flags(get | set);
	ROW("feature-set") return feature_flags(set);
	ROW("feature-nothing") return feature_flags(0);
	ROW("feature-probe") return feature_flags(probe);
	ROW("feature-probe-get") return feature_flags(probe | get);
	ROW("feature-probe-set") return feature_flags(probe | set);
	ROW("feature-probe-get-set") return feature_flags(probe | get | set);
	ROW("feature-unknown") {
		struct vfio_device_feature unknown = { .argsz = sizeof(unknown), .flags = probe | 0x7fff };
		return answer(ioctl(device, VFIO_DEVICE_FEATURE, &unknown));
	}
	ROW("feature-dma-buf-flags") {
		struct export argument = good();
		argument.dma_buf.flags = 1;
		return answer(export_with(argument));
	}
	ROW("feature-unreadable") return answer(ioctl(device, VFIO_DEVICE_FEATURE, UNREADABLE));
	ROW("feature-unreadable-body") return feature_at_end(8);
	ROW("feature-unreadable-ranges") return feature_at_end(24);
	ROW("feature-all-ranges") return feature_nr_ranges(UINT32_MAX);
	ROW("feature-open-flags") return answer(feature_open_flags(~0U));
	ROW("feature-no-cloexec") {
		buffer = feature_open_flags(0);
		return answer_is(buffer >= 0 && !(fcntl(buffer, F_GETFD) & FD_CLOEXEC));
	}
	ROW("feature-read-only-maps") {
		buffer = feature_open_flags(O_CLOEXEC | O_RDONLY);
		return map_with(sizeof(struct iommu_ioas_map_file),
				IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE, buffer, 0);
	}
	ROW("bind-argsz-15") return bind_with(15, 0, iommufd, 0);
	ROW("bind-argsz-16") return bind_with(16, 0, iommufd, 0);
	ROW("bind-unknown-tail") return bind_with(sizeof(struct vfio_device_bind_iommufd) + 8, 0, iommufd, 1);
	ROW("bind-zero-tail") return bind_with(sizeof(struct vfio_device_bind_iommufd) + 8, 0, iommufd, 0);
	ROW("bind-unknown-flag") return bind_with(24, 2, iommufd, 0);
	ROW("bind-negative") return bind_with(24, 0, -1, 0);
	ROW("bind-token-unreadable") {
		struct vfio_device_bind_iommufd bind = {
			.argsz = sizeof(bind), .flags = VFIO_DEVICE_BIND_FLAG_TOKEN, .iommufd = iommufd,
			.token_uuid_ptr = (uintptr_t)UNREADABLE,
		};
		int other = open(node, O_RDWR | O_CLOEXEC);
		close(device);
		return answer(ioctl(other, VFIO_DEVICE_BIND_IOMMUFD, &bind));
	}
	ROW("device-unknown") return answer(ioctl(device, _IO(VFIO_TYPE, VFIO_BASE + 90)));
	ROW("info-argsz-15") {
		struct vfio_device_info info = { .argsz = 15 };
		return answer(ioctl(device, VFIO_DEVICE_GET_INFO, &info));
	}
	ROW("region-argsz-31") {
		struct vfio_region_info info = { .argsz = 31 };
		return answer(ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &info));
	}
	ROW("attach-argsz-11") {
		struct vfio_device_attach_iommufd_pt attach = { .argsz = 11, .pt_id = ioas };
		return answer(ioctl(device, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach));
	}
	ROW("attach-unknown-flag") {
		struct vfio_device_attach_iommufd_pt attach = { .argsz = 16, .flags = 2, .pt_id = ioas };
		return answer(ioctl(device, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach));
	}
	ROW("hot-reset-info-no-room") {
		struct vfio_pci_hot_reset_info info = { .argsz = sizeof(info) };
		return answer(ioctl(device, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, &info));
	}
	ROW("hot-reset-flags") {
		struct vfio_pci_hot_reset reset = { .argsz = sizeof(reset), .flags = 1 };
		return answer(ioctl(device, VFIO_DEVICE_PCI_HOT_RESET, &reset));
	}
	ROW("irqs-two") return irqs(28, eventfd_trigger, VFIO_PCI_REQ_IRQ_INDEX, 2);
	ROW("irqs-index") return irqs(24, eventfd_trigger, VFIO_PCI_NUM_IRQS, 1);
	ROW("irqs-mask") {
		return irqs(24, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_MASK,
			    VFIO_PCI_REQ_IRQ_INDEX, 1);
	}
	ROW("irqs-signal-unarmed") {
		return irqs(20, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER,
			    VFIO_PCI_REQ_IRQ_INDEX, 1);
	}
	ROW("iommufd-unknown") return answer(ioctl(iommufd, _IO(';', 0xf0), &byte));
	ROW("ioas-alloc-flags") {
		struct iommu_ioas_alloc alloc = { .size = sizeof(alloc), .flags = 1 };
		return answer(ioctl(iommufd, IOMMU_IOAS_ALLOC, &alloc));
	}
	ROW("ioas-alloc-small") {
		struct iommu_ioas_alloc alloc = { .size = 4 };
		return answer(ioctl(iommufd, IOMMU_IOAS_ALLOC, &alloc));
	}

	buffer = export_with(good());
	if (buffer < 0)
		return fail("VFIO_DEVICE_FEATURE_DMA_BUF");
	ROW("map-unknown-flag") return map_with(40, 0x80 | IOMMU_IOAS_MAP_READABLE, buffer, 0);
	ROW("map-neither") return map_with(40, 0, buffer, 0);
	ROW("map-write-only") return map_with(40, IOMMU_IOAS_MAP_WRITEABLE, buffer, 0);
	ROW("map-small") return map_with(32, IOMMU_IOAS_MAP_READABLE, buffer, 0);
	ROW("map-unknown-tail") return map_with(48, IOMMU_IOAS_MAP_READABLE, buffer, 1);
	ROW("map-zero-tail") return map_with(48, IOMMU_IOAS_MAP_READABLE, buffer, 0);
	ROW("map-other-exporter") return map_with(40, IOMMU_IOAS_MAP_READABLE, udmabuf(), 0);
	ROW("map-memory") {
		void *memory = mmap(NULL, 0x1000000, PROT_READ, MAP_SHARED, device, 2ULL << 40);
		struct iommu_ioas_map map = {
			.size = sizeof(map), .flags = IOMMU_IOAS_MAP_READABLE, .ioas_id = ioas,
			.user_va = (uintptr_t)memory, .length = PAGE,
		};
		struct vfio_device_attach_iommufd_pt attach = { .argsz = 16, .pt_id = ioas };
		if (memory == MAP_FAILED || ioctl(device, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach))
			return fail("mmap or attach");
		return answer(ioctl(iommufd, IOMMU_IOAS_MAP, &map));
	}
	ROW("buffer-mmap") {
		return answer(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, buffer, 0) == MAP_FAILED ? -1 : 0);
	}
	ROW("buffer-read") return answer(read(buffer, &byte, 1));
	ROW("buffer-write") return answer(write(buffer, &byte, 1));
	ROW("buffer-write-open") return answer(write(feature_open_flags(O_CLOEXEC | O_RDWR), &byte, 1));
	ROW("buffer-size") return answer_is(lseek(buffer, 0, SEEK_END) == 2 * PAGE);
	ROW("buffer-seek") return answer(lseek(buffer, PAGE, SEEK_SET));
	ROW("buffer-unknown") return answer(ioctl(buffer, _IO('b', 99)));
	ROW("buffer-sync") return sync_with(buffer, DMA_BUF_SYNC_RW | DMA_BUF_SYNC_START);
	ROW("buffer-sync-revoked") {
		close(device);
		return sync_with(buffer, DMA_BUF_SYNC_RW | DMA_BUF_SYNC_END);
	}
	ROW("buffer-sync-no-direction") return sync_with(buffer, DMA_BUF_SYNC_START);
	ROW("buffer-sync-unknown") return sync_with(buffer, DMA_BUF_SYNC_RW | 0x80);
	ROW("buffer-name-unreadable") return answer(ioctl(buffer, DMA_BUF_SET_NAME_B, UNREADABLE));
	ROW("buffer-magic") {
		struct statfs facts;
		return answer_is(!fstatfs(buffer, &facts) && facts.f_type == 0x444d4142);
	}
	fprintf(stderr, "no row %s\n", row);
	return 2;
}

int main(int argc, char **argv)
{
	if (argc != 3) {
		fprintf(stderr, "usage: raw NODE ROW\n");
		return 2;
	}
	node = argv[1];
	if (open_device())
		return fail("open");
	return run(argv[2]);
}
