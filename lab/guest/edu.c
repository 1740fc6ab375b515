#define _GNU_SOURCE
#include "edu.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <linux/iommufd.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>

/* docs/specs/edu.rst of QEMU */
#define REGISTER_DMA_SOURCE 0x80
#define REGISTER_DMA_DESTINATION 0x88
#define REGISTER_DMA_COUNT 0x90
#define REGISTER_DMA_COMMAND 0x98
#define DMA_START 0x1
#define REGISTERS_BYTES (1 << 20)

#define DMA_LIMIT_MS 5000

/* Where the engine finds the process's own memory: far from where buffers are mapped. */
#define MEMORY_IOVA 0x8000000

static const char *map_registers(struct edu *edu)
{
	struct vfio_region_info info = {
		.argsz = sizeof(info),
		.index = VFIO_PCI_BAR0_REGION_INDEX,
	};

	if (ioctl(edu->device, VFIO_DEVICE_GET_REGION_INFO, &info))
		return "VFIO_DEVICE_GET_REGION_INFO";
	edu->registers = mmap(NULL, REGISTERS_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
			      edu->device, info.offset);
	return edu->registers == MAP_FAILED ? "mmap" : NULL;
}

/* VFIO opens a device with bus mastering off: without it, the engine's reads and writes vanish. */
static const char *enable_bus_master(struct edu *edu)
{
	struct vfio_region_info info = {
		.argsz = sizeof(info),
		.index = VFIO_PCI_CONFIG_REGION_INDEX,
	};
	uint16_t command;

	if (ioctl(edu->device, VFIO_DEVICE_GET_REGION_INFO, &info))
		return "VFIO_DEVICE_GET_REGION_INFO";
	if (pread(edu->device, &command, 2, info.offset + PCI_COMMAND) != 2)
		return "pread";
	command |= PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	if (pwrite(edu->device, &command, 2, info.offset + PCI_COMMAND) != 2)
		return "pwrite";
	return NULL;
}

static const char *bind_and_attach(struct edu *edu)
{
	struct vfio_device_bind_iommufd bind = {
		.argsz = sizeof(bind),
		.iommufd = edu->iommufd,
	};
	struct iommu_ioas_alloc alloc = { .size = sizeof(alloc) };
	struct vfio_device_attach_iommufd_pt attach = { .argsz = sizeof(attach) };

	if (ioctl(edu->device, VFIO_DEVICE_BIND_IOMMUFD, &bind))
		return "VFIO_DEVICE_BIND_IOMMUFD";
	edu->device_id = bind.out_devid;
	if (ioctl(edu->iommufd, IOMMU_IOAS_ALLOC, &alloc))
		return "IOMMU_IOAS_ALLOC";
	edu->ioas = alloc.out_ioas_id;
	attach.pt_id = edu->ioas;
	if (ioctl(edu->device, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach))
		return "VFIO_DEVICE_ATTACH_IOMMUFD_PT";
	return NULL;
}

const char *edu_open(struct edu *edu, const char *cdev, int iommufd)
{
	const char *failed;

	edu->iommufd = iommufd;
	edu->device = open(cdev, O_RDWR | O_CLOEXEC);
	if (edu->device < 0)
		return "open";
	failed = bind_and_attach(edu);
	if (!failed)
		failed = map_registers(edu);
	if (!failed)
		failed = enable_bus_master(edu);
	if (failed) {
		int error = errno;

		close(edu->device);
		errno = error;
	}
	return failed;
}

static void write_register(struct edu *edu, uint32_t offset, uint64_t value)
{
	*(volatile uint64_t *)(edu->registers + offset) = value;
}

static uint64_t read_register(struct edu *edu, uint32_t offset)
{
	return *(volatile uint64_t *)(edu->registers + offset);
}

/* The engine can interrupt, but the laboratory needs no more than to know that it is done. */
static int wait_until_done(struct edu *edu)
{
	for (int ms = 0; ms < DMA_LIMIT_MS; ms++) {
		if (!(read_register(edu, REGISTER_DMA_COMMAND) & DMA_START))
			return 0;
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	}
	errno = ETIMEDOUT;
	return -1;
}

const char *edu_dma(struct edu *edu, enum edu_direction direction, uint64_t iova,
		    uint32_t offset, uint32_t length)
{
	uint64_t buffer = EDU_BUFFER + offset;

	/* QEMU itself ends when the engine is told to leave its buffer */
	if (!length || length > EDU_BUFFER_BYTES || offset > EDU_BUFFER_BYTES - length) {
		errno = ERANGE;
		return "dma";
	}
	write_register(edu, REGISTER_DMA_SOURCE, direction == EDU_TO_MEMORY ? buffer : iova);
	write_register(edu, REGISTER_DMA_DESTINATION, direction == EDU_TO_MEMORY ? iova : buffer);
	write_register(edu, REGISTER_DMA_COUNT, length);
	write_register(edu, REGISTER_DMA_COMMAND, DMA_START | direction << 1);
	return wait_until_done(edu) ? "dma" : NULL;
}

static const char *map_memory(struct edu *edu)
{
	struct iommu_ioas_map map = {
		.size = sizeof(map),
		.flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE |
			 IOMMU_IOAS_MAP_WRITEABLE,
		.ioas_id = edu->ioas,
		.length = EDU_BUFFER_BYTES,
		.iova = MEMORY_IOVA,
	};
	uint8_t *memory;

	if (edu->memory)
		return NULL;
	memory = mmap(NULL, EDU_BUFFER_BYTES, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (memory == MAP_FAILED)
		return "mmap";
	map.user_va = (uintptr_t)memory;
	if (ioctl(edu->iommufd, IOMMU_IOAS_MAP, &map))
		return "IOMMU_IOAS_MAP";
	edu->memory = memory;
	return NULL;
}

const char *edu_fill(struct edu *edu, uint8_t byte, uint32_t length)
{
	const char *failed = map_memory(edu);

	if (failed)
		return failed;
	memset(edu->memory, byte, EDU_BUFFER_BYTES);
	return edu_dma(edu, EDU_FROM_MEMORY, MEMORY_IOVA, 0, length);
}

const char *edu_peek(struct edu *edu, const uint8_t **bytes, uint32_t length)
{
	const char *failed = map_memory(edu);

	if (!failed)
		failed = edu_dma(edu, EDU_TO_MEMORY, MEMORY_IOVA, 0, length);
	*bytes = edu->memory;
	return failed;
}
