#define _GNU_SOURCE
#include "owner.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/vfio.h>

#include "answer.h"
#include "named_fds.h"
#include "words.h"

#define DEVICE_NAME "held"
#define MAX_SIGNALS 16
#define CONFIG_OFFSET ((off_t)VFIO_PCI_CONFIG_REGION_INDEX << 40)

static int held(void)
{
	return named_fds_find(DEVICE_NAME);
}

/* All devices that are held share one iommufd: a hot reset is for who owns all that it hits. */
void owner_hold(void)
{
	static int iommufd = -1;
	struct vfio_device_bind_iommufd bind = { .argsz = sizeof(bind) };
	int device = open(word(), O_RDWR | O_CLOEXEC);
	const char *name = word();

	if (device < 0)
		return answer_errno("open device", errno);
	if (iommufd < 0)
		iommufd = open("/dev/iommu", O_RDWR | O_CLOEXEC);
	if (iommufd < 0)
		return answer_errno("open /dev/iommu", errno);
	bind.iommufd = iommufd;
	if (ioctl(device, VFIO_DEVICE_BIND_IOMMUFD, &bind))
		return answer_errno("VFIO_DEVICE_BIND_IOMMUFD", errno);
	named_fds_add(*name ? name : DEVICE_NAME, device);
	answer_ok();
}

void owner_hot_reset(void)
{
	struct vfio_pci_hot_reset reset = { .argsz = sizeof(reset) };
	int device = named_fds_find(word());

	if (device < 0)
		return answer_usage("no descriptor of that name");
	if (ioctl(device, VFIO_DEVICE_PCI_HOT_RESET, &reset))
		return answer_errno("VFIO_DEVICE_PCI_HOT_RESET", errno);
	answer_ok();
}

/* The group and what owns its DMA stay open with this process, or go with "group" and "container". */
void owner_hold_by_group(void)
{
	const char *node = word();
	const char *address = word();
	int by_container = !strcmp(word(), "container");
	int group = open(node, O_RDWR | O_CLOEXEC);

	if (group < 0)
		return answer_errno("open group", errno);
	int owner = open(by_container ? "/dev/vfio/vfio" : "/dev/iommu", O_RDWR | O_CLOEXEC);
	if (owner < 0)
		return answer_errno("open container", errno);
	if (ioctl(group, VFIO_GROUP_SET_CONTAINER, &owner))
		return answer_errno("VFIO_GROUP_SET_CONTAINER", errno);
	if (by_container && ioctl(owner, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU))
		return answer_errno("VFIO_SET_IOMMU", errno);
	int device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, address);
	if (device < 0)
		return answer_errno("VFIO_GROUP_GET_DEVICE_FD", errno);
	named_fds_add("group", group);
	named_fds_add("container", owner);
	named_fds_add(DEVICE_NAME, device);
	answer_ok();
}

/* VFIO_DEVICE_FEATURE with what belongs to it: a dma-buf of one page, or an eventfd. */
struct feature {
	struct vfio_device_feature header;
	union {
		struct {
			struct vfio_device_feature_dma_buf buffer;
			struct vfio_region_dma_range range;
		};
		struct vfio_device_low_power_entry_with_wakeup wakeup;
	};
};

void owner_export(void)
{
	const char *name = word();
	struct feature request = {
		.header.argsz = sizeof(request),
		.header.flags = VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_DMA_BUF,
		.buffer.region_index = number(),
		.buffer.open_flags = O_RDWR | O_CLOEXEC,
		.buffer.nr_ranges = 1,
		.range.length = getpagesize(),
	};
	int buffer = ioctl(held(), VFIO_DEVICE_FEATURE, &request);

	if (buffer < 0)
		return answer_errno("VFIO_DEVICE_FEATURE", errno);
	named_fds_add(name, buffer);
	answer_ok();
}

static const struct {
	const char *name;
	int index;
} interrupts[] = {
	{ "intx", VFIO_PCI_INTX_IRQ_INDEX },
	{ "msix", VFIO_PCI_MSIX_IRQ_INDEX },
	{ "error", VFIO_PCI_ERR_IRQ_INDEX },
	{ "request", VFIO_PCI_REQ_IRQ_INDEX },
};

static int interrupt(const char *name)
{
	for (size_t i = 0; i < sizeof(interrupts) / sizeof(interrupts[0]); i++)
		if (!strcmp(interrupts[i].name, name))
			return interrupts[i].index;
	return -1;
}

/* What tells this process of something, by the word that armed it. */
static struct {
	char name[32];
	int fd;
} signals[MAX_SIGNALS];
static int signal_count;

static int new_signal(const char *name)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	if (fd >= 0 && signal_count < MAX_SIGNALS) {
		snprintf(signals[signal_count].name, sizeof(signals[0].name), "%s", name);
		signals[signal_count++].fd = fd;
	}
	return fd;
}

void owner_arm(void)
{
	const char *name = word();
	struct {
		struct vfio_irq_set set;
		int fd;
	} request = {
		.set.argsz = sizeof(request),
		.set.flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
		.set.index = interrupt(name),
		.set.count = 1,
		.fd = new_signal(name),
	};

	if (ioctl(held(), VFIO_DEVICE_SET_IRQS, &request))
		return answer_errno("VFIO_DEVICE_SET_IRQS", errno);
	answer_ok();
}

void owner_trigger(void)
{
	struct vfio_irq_set request = {
		.argsz = sizeof(request),
		.flags = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER,
		.index = interrupt(word()),
		.count = 1,
	};

	if (ioctl(held(), VFIO_DEVICE_SET_IRQS, &request))
		return answer_errno("VFIO_DEVICE_SET_IRQS", errno);
	answer_ok();
}

/* How often each was signalled since this was asked for last. */
void owner_signals(void)
{
	answer_begin(1);
	for (int i = 0; i < signal_count; i++) {
		uint64_t count = 0;

		if (read(signals[i].fd, &count, sizeof(count)) != sizeof(count))
			count = 0;
		answer_number(signals[i].name, count);
	}
	answer_end();
}

static void set_feature(struct feature *request)
{
	request->header.argsz = sizeof(*request);
	request->header.flags |= VFIO_DEVICE_FEATURE_SET;
	if (ioctl(held(), VFIO_DEVICE_FEATURE, request))
		return answer_errno("VFIO_DEVICE_FEATURE", errno);
	answer_ok();
}

void owner_enter_low_power(void)
{
	struct feature request = { .header.flags = VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY };

	if (!strcmp(word(), "wakeup")) {
		request.header.flags = VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP;
		request.wakeup.wakeup_eventfd = new_signal("wakeup");
	}
	set_feature(&request);
}

void owner_exit_low_power(void)
{
	struct feature request = { .header.flags = VFIO_DEVICE_FEATURE_LOW_POWER_EXIT };

	set_feature(&request);
}

void owner_read_config(void)
{
	uint64_t offset = number();
	uint16_t value;

	if (pread(held(), &value, sizeof(value), CONFIG_OFFSET + offset) != sizeof(value))
		return answer_errno("pread", errno);
	answer_begin(1);
	answer_number("value", value);
	answer_end();
}

void owner_write_config(void)
{
	uint64_t offset = number();
	uint16_t value = number();

	if (pwrite(held(), &value, sizeof(value), CONFIG_OFFSET + offset) != sizeof(value))
		return answer_errno("pwrite", errno);
	answer_ok();
}

void owner_reset(void)
{
	if (ioctl(held(), VFIO_DEVICE_RESET))
		return answer_errno("VFIO_DEVICE_RESET", errno);
	answer_ok();
}
