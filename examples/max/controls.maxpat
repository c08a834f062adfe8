{
	"patcher": {
		"fileversion": 1,
		"appversion": {
			"major": 8,
			"minor": 6,
			"revision": 0,
			"architecture": "x64",
			"modernui": 1
		},
		"classnamespace": "box",
		"rect": [
			80.0,
			80.0,
			900.0,
			560.0
		],
		"gridsize": [
			15.0,
			15.0
		],
		"boxes": [
			{
				"box": {
					"id": "obj-1",
					"maxclass": "comment",
					"numinlets": 1,
					"numoutlets": 0,
					"patching_rect": [
						20.0,
						15.0,
						912.0,
						22.0
					],
					"text": "An instrument by hand: its pitch (MIDI) and loudness (dB), and timbre by name. It sounds when the patch is opened."
				}
			},
			{
				"box": {
					"id": "obj-2",
					"maxclass": "comment",
					"numinlets": 1,
					"numoutlets": 0,
					"patching_rect": [
						20.0,
						35.0,
						840.0,
						22.0
					],
					"text": "nn~ does not resample: set Max's sampling rate to the file's (its inlet labels and wavevae info tell it)."
				}
			},
			{
				"box": {
					"id": "obj-3",
					"maxclass": "newobj",
					"numinlets": 11,
					"numoutlets": 1,
					"patching_rect": [
						20.0,
						230.0,
						760.0,
						22.0
					],
					"outlettype": [
						"signal"
					],
					"text": "nn~ mine.ts decode 1024"
				}
			},
			{
				"box": {
					"id": "obj-4",
					"maxclass": "live.dial",
					"numinlets": 1,
					"numoutlets": 2,
					"patching_rect": [
						20.0,
						80.0,
						60.0,
						48.0
					],
					"outlettype": [
						"",
						"float"
					],
					"parameter_enable": 1,
					"saved_attribute_attributes": {
						"valueof": {
							"parameter_longname": "pitch",
							"parameter_shortname": "pitch",
							"parameter_type": 0,
							"parameter_unitstyle": 1,
							"parameter_mmin": 36.0,
							"parameter_mmax": 84.0,
							"parameter_initial": [
								60.0
							],
							"parameter_initial_enable": 1
						}
					}
				}
			},
			{
				"box": {
					"id": "obj-5",
					"maxclass": "newobj",
					"numinlets": 1,
					"numoutlets": 1,
					"patching_rect": [
						20.0,
						150.0,
						40.0,
						22.0
					],
					"outlettype": [
						"signal"
					],
					"text": "sig~"
				}
			},
			{
				"box": {
					"id": "obj-6",
					"maxclass": "live.dial",
					"numinlets": 1,
					"numoutlets": 2,
					"patching_rect": [
						98.0,
						80.0,
						60.0,
						48.0
					],
					"outlettype": [
						"",
						"float"
					],
					"parameter_enable": 1,
					"saved_attribute_attributes": {
						"valueof": {
							"parameter_longname": "loudness",
							"parameter_shortname": "loudness",
							"parameter_type": 0,
							"parameter_unitstyle": 1,
							"parameter_mmin": -60.0,
							"parameter_mmax": 0.0,
							"parameter_initial": [
								-20.0
							],
							"parameter_initial_enable": 1
						}
					}
				}
			},
			{
				"box": {
					"id": "obj-7",
					"maxclass": "newobj",
					"numinlets": 1,
					"numoutlets": 1,
					"patching_rect": [
						98.0,
						150.0,
						40.0,
						22.0
					],
					"outlettype": [
						"signal"
					],
					"text": "sig~"
				}
			},
			{
				"box": {
					"id": "obj-8",
					"maxclass": "live.dial",
					"numinlets": 1,
					"numoutlets": 2,
					"patching_rect": [
						176.0,
						80.0,
						60.0,
						48.0
					],
					"outlettype": [
						"",
						"float"
					],
					"parameter_enable": 1,
					"saved_attribute_attributes": {
						"valueof": {
							"parameter_longname": "periodicity",
							"parameter_shortname": "periodicity",
							"parameter_type": 0,
							"parameter_unitstyle": 1,
							"parameter_mmin": 0.0,
							"parameter_mmax": 1.0,
							"parameter_initial": [
								1.0
							],
							"parameter_initial_enable": 1
						}
					}
				}
			},
			{
				"box": {
					"id": "obj-9",
					"maxclass": "newobj",
					"numinlets": 1,
					"numoutlets": 1,
					"patching_rect": [
						176.0,
						150.0,
						40.0,
						22.0
					],
					"outlettype": [
						"signal"
					],
					"text": "sig~"
				}
			},
			{
				"box": {
					"id": "obj-10",
					"maxclass": "live.dial",
					"numinlets": 1,
					"numoutlets": 2,
					"patching_rect": [
						254.0,
						80.0,
						60.0,
						48.0
					],
					"outlettype": [
						"",
						"float"
					],
					"parameter_enable": 1,
					"saved_attribute_attributes": {
						"valueof": {
							"parameter_longname": "brightness",
							"parameter_shortname": "brightness",
							"parameter_type": 0,
							"parameter_unitstyle": 1,
							"parameter_mmin": -3.0,
							"parameter_mmax": 3.0,
							"parameter_initial": [
								0.0
							],
							"parameter_initial_enable": 1
						}
					}
				}
			},
			{
				"box": {
					"id": "obj-11",
					"maxclass": "newobj",
					"numinlets": 1,
					"numoutlets": 1,
					"patching_rect": [
						254.0,
						150.0,
						40.0,
						22.0
					],
					"outlettype": [
						"signal"
					],
					"text": "sig~"
				}
			},
			{
				"box": {
					"id": "obj-12",
					"maxclass": "live.dial",
					"numinlets": 1,
					"numoutlets": 2,
					"patching_rect": [
						332.0,
						80.0,
						60.0,
						48.0
					],
					"outlettype": [
						"",
						"float"
					],
					"parameter_enable": 1,
					"saved_attribute_attributes": {
						"valueof": {
							"parameter_longname": "noisiness",
							"parameter_shortname": "noisiness",
							"parameter_type": 0,
							"parameter_unitstyle": 1,
							"parameter_mmin": -3.0,
							"parameter_mmax": 3.0,
							"parameter_initial": [
								0.0
							],
							"parameter_initial_enable": 1
						}
					}
				}
			},
			{
				"box": {
					"id": "obj-13",
					"maxclass": "newobj",
					"numinlets": 1,
					"numoutlets": 1,
					"patching_rect": [
						332.0,
						150.0,
						40.0,
						22.0
					],
					"outlettype": [
						"signal"
					],
					"text": "sig~"
				}
			},
			{
				"box": {
					"id": "obj-14",
					"maxclass": "live.dial",
					"numinlets": 1,
					"numoutlets": 2,
					"patching_rect": [
						410.0,
						80.0,
						60.0,
						48.0
					],
					"outlettype": [
						"",
						"float"
					],
					"parameter_enable": 1,
					"saved_attribute_attributes": {
						"valueof": {
							"parameter_longname": "timbre 1",
							"parameter_shortname": "timbre 1",
							"parameter_type": 0,
							"parameter_unitstyle": 1,
							"parameter_mmin": -3.0,
							"parameter_mmax": 3.0,
							"parameter_initial": [
								0.0
							],
							"parameter_initial_enable": 1
						}
					}
				}
			},
			{
				"box": {
					"id": "obj-15",
					"maxclass": "newobj",
					"numinlets": 1,
					"numoutlets": 1,
					"patching_rect": [
						410.0,
						150.0,
						40.0,
						22.0
					],
					"outlettype": [
						"signal"
					],
					"text": "sig~"
				}
			},
			{
				"box": {
					"id": "obj-16",
					"maxclass": "live.dial",
					"numinlets": 1,
					"numoutlets": 2,
					"patching_rect": [
						488.0,
						80.0,
						60.0,
						48.0
					],
					"outlettype": [
						"",
						"float"
					],
					"parameter_enable": 1,
					"saved_attribute_attributes": {
						"valueof": {
							"parameter_longname": "timbre 2",
							"parameter_shortname": "timbre 2",
							"parameter_type": 0,
							"parameter_unitstyle": 1,
							"parameter_mmin": -3.0,
							"parameter_mmax": 3.0,
							"parameter_initial": [
								0.0
							],
							"parameter_initial_enable": 1
						}
					}
				}
			},
			{
				"box": {
					"id": "obj-17",
					"maxclass": "newobj",
					"numinlets": 1,
					"numoutlets": 1,
					"patching_rect": [
						488.0,
						150.0,
						40.0,
						22.0
					],
					"outlettype": [
						"signal"
					],
					"text": "sig~"
				}
			},
			{
				"box": {
					"id": "obj-18",
					"maxclass": "live.dial",
					"numinlets": 1,
					"numoutlets": 2,
					"patching_rect": [
						566.0,
						80.0,
						60.0,
						48.0
					],
					"outlettype": [
						"",
						"float"
					],
					"parameter_enable": 1,
					"saved_attribute_attributes": {
						"valueof": {
							"parameter_longname": "timbre 3",
							"parameter_shortname": "timbre 3",
							"parameter_type": 0,
							"parameter_unitstyle": 1,
							"parameter_mmin": -3.0,
							"parameter_mmax": 3.0,
							"parameter_initial": [
								0.0
							],
							"parameter_initial_enable": 1
						}
					}
				}
			},
			{
				"box": {
					"id": "obj-19",
					"maxclass": "newobj",
					"numinlets": 1,
					"numoutlets": 1,
					"patching_rect": [
						566.0,
						150.0,
						40.0,
						22.0
					],
					"outlettype": [
						"signal"
					],
					"text": "sig~"
				}
			},
			{
				"box": {
					"id": "obj-20",
					"maxclass": "live.dial",
					"numinlets": 1,
					"numoutlets": 2,
					"patching_rect": [
						644.0,
						80.0,
						60.0,
						48.0
					],
					"outlettype": [
						"",
						"float"
					],
					"parameter_enable": 1,
					"saved_attribute_attributes": {
						"valueof": {
							"parameter_longname": "timbre 4",
							"parameter_shortname": "timbre 4",
							"parameter_type": 0,
							"parameter_unitstyle": 1,
							"parameter_mmin": -3.0,
							"parameter_mmax": 3.0,
							"parameter_initial": [
								0.0
							],
							"parameter_initial_enable": 1
						}
					}
				}
			},
			{
				"box": {
					"id": "obj-21",
					"maxclass": "newobj",
					"numinlets": 1,
					"numoutlets": 1,
					"patching_rect": [
						644.0,
						150.0,
						40.0,
						22.0
					],
					"outlettype": [
						"signal"
					],
					"text": "sig~"
				}
			},
			{
				"box": {
					"id": "obj-22",
					"maxclass": "live.dial",
					"numinlets": 1,
					"numoutlets": 2,
					"patching_rect": [
						722.0,
						80.0,
						60.0,
						48.0
					],
					"outlettype": [
						"",
						"float"
					],
					"parameter_enable": 1,
					"saved_attribute_attributes": {
						"valueof": {
							"parameter_longname": "timbre 5",
							"parameter_shortname": "timbre 5",
							"parameter_type": 0,
							"parameter_unitstyle": 1,
							"parameter_mmin": -3.0,
							"parameter_mmax": 3.0,
							"parameter_initial": [
								0.0
							],
							"parameter_initial_enable": 1
						}
					}
				}
			},
			{
				"box": {
					"id": "obj-23",
					"maxclass": "newobj",
					"numinlets": 1,
					"numoutlets": 1,
					"patching_rect": [
						722.0,
						150.0,
						40.0,
						22.0
					],
					"outlettype": [
						"signal"
					],
					"text": "sig~"
				}
			},
			{
				"box": {
					"id": "obj-24",
					"maxclass": "live.dial",
					"numinlets": 1,
					"numoutlets": 2,
					"patching_rect": [
						800.0,
						80.0,
						60.0,
						48.0
					],
					"outlettype": [
						"",
						"float"
					],
					"parameter_enable": 1,
					"saved_attribute_attributes": {
						"valueof": {
							"parameter_longname": "timbre 6",
							"parameter_shortname": "timbre 6",
							"parameter_type": 0,
							"parameter_unitstyle": 1,
							"parameter_mmin": -3.0,
							"parameter_mmax": 3.0,
							"parameter_initial": [
								0.0
							],
							"parameter_initial_enable": 1
						}
					}
				}
			},
			{
				"box": {
					"id": "obj-25",
					"maxclass": "newobj",
					"numinlets": 1,
					"numoutlets": 1,
					"patching_rect": [
						800.0,
						150.0,
						40.0,
						22.0
					],
					"outlettype": [
						"signal"
					],
					"text": "sig~"
				}
			},
			{
				"box": {
					"id": "obj-26",
					"maxclass": "newobj",
					"numinlets": 2,
					"numoutlets": 1,
					"patching_rect": [
						20.0,
						280.0,
						54.0,
						22.0
					],
					"outlettype": [
						"signal"
					],
					"text": "*~ 0.7"
				}
			},
			{
				"box": {
					"id": "obj-27",
					"maxclass": "newobj",
					"numinlets": 2,
					"numoutlets": 0,
					"patching_rect": [
						20.0,
						320.0,
						68.0,
						22.0
					],
					"text": "dac~ 1 2"
				}
			},
			{
				"box": {
					"id": "obj-28",
					"maxclass": "newobj",
					"numinlets": 1,
					"numoutlets": 1,
					"patching_rect": [
						120.0,
						280.0,
						68.0,
						22.0
					],
					"outlettype": [
						""
					],
					"text": "loadbang"
				}
			},
			{
				"box": {
					"id": "obj-29",
					"maxclass": "message",
					"numinlets": 2,
					"numoutlets": 1,
					"patching_rect": [
						200.0,
						280.0,
						30.0,
						22.0
					],
					"outlettype": [
						""
					],
					"text": "1"
				}
			},
			{
				"box": {
					"id": "obj-30",
					"maxclass": "comment",
					"numinlets": 1,
					"numoutlets": 0,
					"patching_rect": [
						240.0,
						280.0,
						128.0,
						22.0
					],
					"text": "starts the sound"
				}
			},
			{
				"box": {
					"id": "obj-31",
					"maxclass": "live.dial",
					"numinlets": 1,
					"numoutlets": 2,
					"patching_rect": [
						20.0,
						380.0,
						60.0,
						48.0
					],
					"outlettype": [
						"",
						"float"
					],
					"parameter_enable": 1,
					"saved_attribute_attributes": {
						"valueof": {
							"parameter_longname": "life",
							"parameter_shortname": "life",
							"parameter_type": 0,
							"parameter_unitstyle": 1,
							"parameter_mmin": 0.0,
							"parameter_mmax": 2.0,
							"parameter_initial": [
								1.0
							],
							"parameter_initial_enable": 1
						}
					}
				}
			},
			{
				"box": {
					"id": "obj-32",
					"maxclass": "message",
					"numinlets": 2,
					"numoutlets": 1,
					"patching_rect": [
						20.0,
						437.0,
						89.0,
						22.0
					],
					"outlettype": [
						""
					],
					"text": "set life $1"
				}
			},
			{
				"box": {
					"id": "obj-33",
					"maxclass": "live.dial",
					"numinlets": 1,
					"numoutlets": 2,
					"patching_rect": [
						170.0,
						380.0,
						60.0,
						48.0
					],
					"outlettype": [
						"",
						"float"
					],
					"parameter_enable": 1,
					"saved_attribute_attributes": {
						"valueof": {
							"parameter_longname": "temperature",
							"parameter_shortname": "temperature",
							"parameter_type": 0,
							"parameter_unitstyle": 1,
							"parameter_mmin": 0.0,
							"parameter_mmax": 4.0,
							"parameter_initial": [
								0.0
							],
							"parameter_initial_enable": 1
						}
					}
				}
			},
			{
				"box": {
					"id": "obj-34",
					"maxclass": "message",
					"numinlets": 2,
					"numoutlets": 1,
					"patching_rect": [
						170.0,
						437.0,
						138.0,
						22.0
					],
					"outlettype": [
						""
					],
					"text": "set temperature $1"
				}
			},
			{
				"box": {
					"id": "obj-35",
					"maxclass": "live.dial",
					"numinlets": 1,
					"numoutlets": 2,
					"patching_rect": [
						320.0,
						380.0,
						60.0,
						48.0
					],
					"outlettype": [
						"",
						"float"
					],
					"parameter_enable": 1,
					"saved_attribute_attributes": {
						"valueof": {
							"parameter_longname": "gain",
							"parameter_shortname": "gain",
							"parameter_type": 0,
							"parameter_unitstyle": 1,
							"parameter_mmin": -60.0,
							"parameter_mmax": 24.0,
							"parameter_initial": [
								0.0
							],
							"parameter_initial_enable": 1
						}
					}
				}
			},
			{
				"box": {
					"id": "obj-36",
					"maxclass": "message",
					"numinlets": 2,
					"numoutlets": 1,
					"patching_rect": [
						320.0,
						437.0,
						89.0,
						22.0
					],
					"outlettype": [
						""
					],
					"text": "set gain $1"
				}
			},
			{
				"box": {
					"id": "obj-37",
					"maxclass": "message",
					"numinlets": 2,
					"numoutlets": 1,
					"patching_rect": [
						500.0,
						380.0,
						89.0,
						22.0
					],
					"outlettype": [
						""
					],
					"text": "set reset 1"
				}
			},
			{
				"box": {
					"id": "obj-38",
					"maxclass": "message",
					"numinlets": 2,
					"numoutlets": 1,
					"patching_rect": [
						500.0,
						410.0,
						89.0,
						22.0
					],
					"outlettype": [
						""
					],
					"text": "set class 0"
				}
			},
			{
				"box": {
					"id": "obj-39",
					"maxclass": "message",
					"numinlets": 2,
					"numoutlets": 1,
					"patching_rect": [
						500.0,
						440.0,
						96.0,
						22.0
					],
					"outlettype": [
						""
					],
					"text": "set class -1"
				}
			},
			{
				"box": {
					"id": "obj-40",
					"maxclass": "comment",
					"numinlets": 1,
					"numoutlets": 0,
					"patching_rect": [
						620.0,
						410.0,
						360.0,
						22.0
					],
					"text": "of a model trained with classes: numbers only"
				}
			}
		],
		"lines": [
			{
				"patchline": {
					"source": [
						"obj-4",
						0
					],
					"destination": [
						"obj-5",
						0
					]
				}
			},
			{
				"patchline": {
					"source": [
						"obj-5",
						0
					],
					"destination": [
						"obj-3",
						0
					]
				}
			},
			{
				"patchline": {
					"source": [
						"obj-6",
						0
					],
					"destination": [
						"obj-7",
						0
					]
				}
			},
			{
				"patchline": {
					"source": [
						"obj-7",
						0
					],
					"destination": [
						"obj-3",
						1
					]
				}
			},
			{
				"patchline": {
					"source": [
						"obj-8",
						0
					],
					"destination": [
						"obj-9",
						0
					]
				}
			},
			{
				"patchline": {
					"source": [
						"obj-9",
						0
					],
					"destination": [
						"obj-3",
						2
					]
				}
			},
			{
				"patchline": {
					"source": [
						"obj-10",
						0
					],
					"destination": [
						"obj-11",
						0
					]
				}
			},
			{
				"patchline": {
					"source": [
						"obj-11",
						0
					],
					"destination": [
						"obj-3",
						3
					]
				}
			},
			{
				"patchline": {
					"source": [
						"obj-12",
						0
					],
					"destination": [
						"obj-13",
						0
					]
				}
			},
			{
				"patchline": {
					"source": [
						"obj-13",
						0
					],
					"destination": [
						"obj-3",
						4
					]
				}
			},
			{
				"patchline": {
					"source": [
						"obj-14",
						0
					],
					"destination": [
						"obj-15",
						0
					]
				}
			},
			{
				"patchline": {
					"source": [
						"obj-15",
						0
					],
					"destination": [
						"obj-3",
						5
					]
				}
			},
			{
				"patchline": {
					"source": [
						"obj-16",
						0
					],
					"destination": [
						"obj-17",
						0
					]
				}
			},
			{
				"patchline": {
					"source": [
						"obj-17",
						0
					],
					"destination": [
						"obj-3",
						6
					]
				}
			},
			{
				"patchline": {
					"source": [
						"obj-18",
						0
					],
					"destination": [
						"obj-19",
						0
					]
				}
			},
			{
				"patchline": {
					"source": [
						"obj-19",
						0
					],
					"destination": [
						"obj-3",
						7
					]
				}
			},
			{
				"patchline": {
					"source": [
						"obj-20",
						0
					],
					"destination": [
						"obj-21",
						0
					]
				}
			},
			{
				"patchline": {
					"source": [
						"obj-21",
						0
					],
					"destination": [
						"obj-3",
						8
					]
				}
			},
			{
				"patchline": {
					"source": [
						"obj-22",
						0
					],
					"destination": [
						"obj-23",
						0
					]
				}
			},
			{
				"patchline": {
					"source": [
						"obj-23",
						0
					],
					"destination": [
						"obj-3",
						9
					]
				}
			},
			{
				"patchline": {
					"source": [
						"obj-24",
						0
					],
					"destination": [
						"obj-25",
						0
					]
				}
			},
			{
				"patchline": {
					"source": [
						"obj-25",
						0
					],
					"destination": [
						"obj-3",
						10
					]
				}
			},
			{
				"patchline": {
					"source": [
						"obj-3",
						0
					],
					"destination": [
						"obj-26",
						0
					]
				}
			},
			{
				"patchline": {
					"source": [
						"obj-26",
						0
					],
					"destination": [
						"obj-27",
						0
					]
				}
			},
			{
				"patchline": {
					"source": [
						"obj-26",
						0
					],
					"destination": [
						"obj-27",
						1
					]
				}
			},
			{
				"patchline": {
					"source": [
						"obj-28",
						0
					],
					"destination": [
						"obj-29",
						0
					]
				}
			},
			{
				"patchline": {
					"source": [
						"obj-29",
						0
					],
					"destination": [
						"obj-27",
						0
					]
				}
			},
			{
				"patchline": {
					"source": [
						"obj-31",
						0
					],
					"destination": [
						"obj-32",
						0
					]
				}
			},
			{
				"patchline": {
					"source": [
						"obj-32",
						0
					],
					"destination": [
						"obj-3",
						0
					]
				}
			},
			{
				"patchline": {
					"source": [
						"obj-33",
						0
					],
					"destination": [
						"obj-34",
						0
					]
				}
			},
			{
				"patchline": {
					"source": [
						"obj-34",
						0
					],
					"destination": [
						"obj-3",
						0
					]
				}
			},
			{
				"patchline": {
					"source": [
						"obj-35",
						0
					],
					"destination": [
						"obj-36",
						0
					]
				}
			},
			{
				"patchline": {
					"source": [
						"obj-36",
						0
					],
					"destination": [
						"obj-3",
						0
					]
				}
			},
			{
				"patchline": {
					"source": [
						"obj-37",
						0
					],
					"destination": [
						"obj-3",
						0
					]
				}
			},
			{
				"patchline": {
					"source": [
						"obj-38",
						0
					],
					"destination": [
						"obj-3",
						0
					]
				}
			},
			{
				"patchline": {
					"source": [
						"obj-39",
						0
					],
					"destination": [
						"obj-3",
						0
					]
				}
			}
		]
	}
}
