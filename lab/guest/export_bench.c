/*
 * How long an export and the close of it take, in C: what Bargate's own way is compared with.
 *
 * export_bench CDEV BAR ROUNDS TIMES
 *
 * Each round exports and closes one page of the BAR TIMES times; prints the median of the rounds.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include <linux/iommufd.h>
#include <linux/vfio.h>

#define MAX_ROUNDS 1000

struct export_request {
	struct vfio_device_feature feature;
	struct vfio_device_feature_dma_buf buffer;
	struct vfio_region_dma_range range;
};

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static int open_device(const char *cdev)
{
	int iommufd = open("/dev/iommu", O_RDWR | O_CLOEXEC);
	int device = open(cdev, O_RDWR | O_CLOEXEC);
	struct vfio_device_bind_iommufd bind = { .argsz = sizeof(bind), .iommufd = iommufd };

	if (iommufd < 0 || device < 0)
		fail("open");
	if (ioctl(device, VFIO_DEVICE_BIND_IOMMUFD, &bind))
		fail("VFIO_DEVICE_BIND_IOMMUFD");
	return device;
}

static void export_and_close(int device, int bar)
{
	struct export_request request = {
		.feature = {
			.argsz = sizeof(request),
			.flags = VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_DMA_BUF,
		},
		.buffer = {
			.region_index = bar,
			.open_flags = O_RDWR | O_CLOEXEC,
			.nr_ranges = 1,
		},
		.range = { .offset = 0, .length = sysconf(_SC_PAGESIZE) },
	};
	int fd = ioctl(device, VFIO_DEVICE_FEATURE, &request);

	if (fd < 0)
		fail("VFIO_DEVICE_FEATURE_DMA_BUF");
	if (close(fd))
		fail("close");
}

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000ULL + time.tv_nsec;
}

static uint64_t round_ns(int device, int bar, int times)
{
	uint64_t start = now();

	for (int i = 0; i < times; i++)
		export_and_close(device, bar);
	return (now() - start) / times;
}

static int compare(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return (left > right) - (left < right);
}

int main(int argc, char **argv)
{
	static uint64_t rounds[MAX_ROUNDS];

	if (argc != 5) {
		fprintf(stderr, "usage: export_bench CDEV BAR ROUNDS TIMES\n");
		return 2;
	}
	int device = open_device(argv[1]);
	int count = atoi(argv[3]);
	if (count < 1 || count > MAX_ROUNDS)
		return 2;
	for (int i = 0; i < count; i++)
		rounds[i] = round_ns(device, atoi(argv[2]), atoi(argv[4]));
	qsort(rounds, count, sizeof(rounds[0]), compare);
	printf("{\"nsPerExport\":%llu,\"rounds\":%d,\"times\":%s}\n",
	       (unsigned long long)rounds[count / 2], count, argv[4]);
	return 0;
}
