#![no_main]

rootstock_fuzz::target!(columns);
