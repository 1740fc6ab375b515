/* Commands of the importer as the owner of a device, which it holds as "held". */
#ifndef OWNER_H
#define OWNER_H

void owner_hold(void);
void owner_hot_reset(void);
void owner_hold_by_group(void);
void owner_export(void);
void owner_arm(void);
void owner_trigger(void);
void owner_signals(void);
void owner_enter_low_power(void);
void owner_exit_low_power(void);
void owner_read_config(void);
void owner_write_config(void);
void owner_reset(void);

#endif
