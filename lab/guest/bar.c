/*
 * Reads or writes a BAR through sysfs, past VFIO and past Bargate.
 *
 * bar ADDRESS BAR read OFFSET LENGTH
 * bar ADDRESS BAR write OFFSET HEX
 * bar ADDRESS BAR write32 OFFSET HEX   four bytes in one access, as registers want it
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

/* Byte by byte: a BAR may be registers, where a wider access means something else. */
static void print_bytes(volatile const uint8_t *from, uint64_t length)
{
	for (uint64_t i = 0; i < length; i++)
		printf("%02x", from[i]);
	printf("\n");
}

static void write_bytes(volatile uint8_t *to, const char *hex)
{
	for (size_t i = 0; hex[i] && hex[i + 1]; i += 2) {
		char digits[3] = { hex[i], hex[i + 1], 0 };

		*to++ = strtoul(digits, NULL, 16);
	}
}

static void write_word(volatile uint8_t *to, const char *hex)
{
	uint8_t bytes[4] = { 0 };
	uint32_t word;

	write_bytes(bytes, hex);
	memcpy(&word, bytes, sizeof(word));
	*(volatile uint32_t *)to = word;
}

static uint64_t span(const char *verb, const char *argument)
{
	return strcmp(verb, "read") ? strlen(argument) / 2 : strtoull(argument, NULL, 0);
}

int main(int argc, char **argv)
{
	char path[256];
	struct stat stat;

	if (argc != 6) {
		fprintf(stderr, "usage: bar ADDRESS BAR read|write|write32 OFFSET LENGTH|HEX\n");
		return 2;
	}
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/resource%s", argv[1], argv[2]);
	int fd = open(path, O_RDWR | O_SYNC);
	if (fd < 0 || fstat(fd, &stat))
		fail(path);
	uint64_t offset = strtoull(argv[4], NULL, 0);
	uint64_t length = span(argv[3], argv[5]);
	if (offset > (uint64_t)stat.st_size || length > stat.st_size - offset) {
		fprintf(stderr, "outside of the BAR of %lld bytes\n", (long long)stat.st_size);
		return 1;
	}
	volatile uint8_t *bar = mmap(NULL, stat.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (bar == MAP_FAILED)
		fail("mmap");
	if (!strcmp(argv[3], "read"))
		print_bytes(bar + offset, length);
	else if (!strcmp(argv[3], "write32") && length == 4)
		write_word(bar + offset, argv[5]);
	else
		write_bytes(bar + offset, argv[5]);
	return 0;
}
