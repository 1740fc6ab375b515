/*
 * QEMU's "edu" device as a DMA engine, driven through VFIO's character device and iommufd.
 * All functions return NULL, or the name of the call that failed with errno set.
 */
#ifndef EDU_H
#define EDU_H

#include <stdint.h>

struct edu {
	int iommufd;
	int device;
	uint32_t device_id;
	uint32_t ioas;
	volatile uint8_t *registers;
	/* A page of this process's memory that the engine reaches, once it was asked for. */
	uint8_t *memory;
};

/* The engine's own buffer, as its DMA registers name it. */
#define EDU_BUFFER 0x40000
#define EDU_BUFFER_BYTES 4096

/* Opens the device, binds it to the iommufd and attaches it to an I/O address space of its own. */
const char *edu_open(struct edu *edu, const char *cdev, int iommufd);

enum edu_direction { EDU_FROM_MEMORY = 0, EDU_TO_MEMORY = 1 };

/* Moves bytes between the engine's buffer and an I/O address; waits until it is done. */
const char *edu_dma(struct edu *edu, enum edu_direction direction, uint64_t iova,
		    uint32_t offset, uint32_t length);

/* Fills the engine's buffer. */
const char *edu_fill(struct edu *edu, uint8_t byte, uint32_t length);
/* Shows what is in the engine's buffer; the bytes are there until the next call. */
const char *edu_peek(struct edu *edu, const uint8_t **bytes, uint32_t length);

#endif
