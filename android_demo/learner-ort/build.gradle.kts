// The EdgeLearner on ONNX Runtime's training engine: the same code on a phone and on a plain JVM. The app brings
// the phone's engine, the tests the desktop's Java classes; see src/test/native for the engine behind these.
import org.jetbrains.kotlin.gradle.dsl.JvmTarget

plugins {
    id("org.jetbrains.kotlin.jvm")
}

dependencies {
    api(project(":core"))
    compileOnly(libs.onnxruntime.desktop)
    testImplementation(libs.onnxruntime.desktop)
    testImplementation(platform(libs.junit.bom))
    testImplementation(libs.junit.jupiter)
    testImplementation(libs.jqwik)
    testImplementation(libs.kotlin.test)
    testRuntimeOnly(libs.junit.launcher)
}

java {
    sourceCompatibility = JavaVersion.VERSION_1_8
    targetCompatibility = JavaVersion.VERSION_1_8
}

kotlin {
    compilerOptions {
        jvmTarget = JvmTarget.JVM_1_8
        allWarningsAsErrors = true
        freeCompilerArgs.add("-Xsuppress-deprecated-jvm-target-warning")
    }
}

// The tests that all learners pass.
kotlin.sourceSets.named("test") {
    kotlin.srcDir("../learner-suite")
}

tasks.test {
    useJUnitPlatform()
}
