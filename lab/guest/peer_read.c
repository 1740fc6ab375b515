/*
 * Reads a block device straight into memory of another PCI function: the kernel has to map that memory
 * for the device, and so to decide whether there is a peer-to-peer path.
 *
 * peer_read ADDRESS DEVICE
 *
 * ADDRESS has published peer-to-peer memory, and DEVICE zeros. Prints "arrived" if they have, "lost" if
 * the kernel has mapped the memory and they have not, or the name of the error of the read.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define BYTES 4096

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static void *peer_memory(const char *address)
{
	char path[256];

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/p2pmem/allocate", address);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		fail(path);
	void *memory = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		fail("mmap of peer-to-peer memory");
	close(fd);
	return memory;
}

static int is_zero(const unsigned char *memory)
{
	for (int at = 0; at < BYTES; at++)
		if (memory[at] != 0)
			return 0;
	return 1;
}

int main(int argc, char **argv)
{
	if (argc != 3) {
		fprintf(stderr, "usage: peer_read ADDRESS DEVICE\n");
		return 2;
	}
	unsigned char *memory = peer_memory(argv[1]);
	memset(memory, 0xa5, BYTES);
	int fd = open(argv[2], O_RDONLY | O_DIRECT | O_CLOEXEC);
	if (fd < 0)
		fail(argv[2]);
	ssize_t got = pread(fd, memory, BYTES, 0);
	if (got < 0)
		puts(strerrorname_np(errno));
	else if (got < BYTES)
		puts("short");
	else
		puts(is_zero(memory) ? "arrived" : "lost");
	return 0;
}
