// Stands for nn.ar's class in tests/test_examples_in_hosts.py: it records what an example asks for.
NN {
    classvar <>latents = 11, takes;
    var key, method;

    *load { |key, path, id, server, action|
        if (path.isString.not) { Error("a path must be a string").throw }
    }

    *new { |key, method| ^super.newCopyArgs(key, method) }

    describe { }

    // The inputs go out on the buses from 16 on, the attributes on those after, so that a rendering holds them.
    ar { |inputs, bufferSize = -1, warmup = 0, debug = 0, attributes|
        var nOutputs = (encode: latents, decode: 1, forward: 1, perform: latents, prior: latents)[method];
        inputs = inputs.asArray;
        takes = takes.add((
            method: method, inputs: inputs.size, buffer: bufferSize, warmup: warmup,
            attributes: (attributes ? []).clump(2).collect { |pair| pair[0] }
        ));
        inputs.do { |input, n|
            if (input.rate != \audio) { Error("input % of % is no audio signal".format(n, method)).throw };
            Out.ar(16 + n, input)
        };
        (attributes ? []).pairsDo { |name, value, n| Out.ar(16 + latents + (n div: 2), K2A.ar(value)) };
        ^if (nOutputs == 1) { DC.ar(0) } { DC.ar([60, -20, 1] ++ (0 ! (nOutputs - 3))) }
    }

    // Evaluate files one after the other, as a player does with blocks, and print what was asked for.
    *evaluate { |files|
        files.do { |file|
            if (thisProcess.interpreter.compileFile(file).isNil) { ("ERROR: no code: " ++ file).postln };
            try { thisProcess.interpreter.executeFile(file) } { |error| error.reportError }
        };
        takes.do { |take|
            "TAKE % % % % %".format(
                take.method, take.inputs, take.buffer, take.warmup, take.attributes.join(",")
            ).postln
        }
    }

    // What a playing Ndef sends to its model, with controls set at times: [[time, name, value, ...], ...]
    *render { |name, events, seconds, path|
        var definition = Ndef(name).objects.first.synthDef;
        var start = [[0.0, [\d_recv, definition.asBytes]], [0.0, [\s_new, definition.name, 1000, 0, 0]]];
        var sets = events.collect { |event| [event[0], [\n_set, 1000] ++ event.drop(1)] };
        Score(start ++ sets ++ [[seconds, [\c_set, 0, 0]]]).recordNRT(
            outputFilePath: path, sampleRate: 22050, headerFormat: "WAV", sampleFormat: "float",
            options: ServerOptions().numOutputBusChannels_(32), action: { 0.exit }
        )
    }
}

// No server and no MIDI is at hand.
+ Server { waitForBoot { |function| function.value } }
+ MIDIClient { *init { } }
+ MIDIIn { *connectAll { } }
