-- Seconds of computing that went into a measurement, so that a job can say what it saved by taking it over.
alter table measurement add column seconds double precision not null default 0;
alter table job add column saved_s double precision not null default 0;
